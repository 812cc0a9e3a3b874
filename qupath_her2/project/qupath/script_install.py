"""Installing the Groovy scripts into a QuPath on this machine, and uninstalling them: files and preferences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qupath_her2.errors import QuPathError
from qupath_her2.project.qupath.installations import QuPath
from qupath_her2.project.qupath.jvm import call_qupath
from qupath_her2.project.qupath.scripts import (
    Installed,
    copy_scripts,
    default_user_folder,
    our_startups,
    remove_scripts,
)

__all__ = ["Preferences", "install_into", "read_preferences", "remove_from"]


@dataclass(frozen=True, slots=True)
class Preferences:
    """A QuPath's preferences for user folder and start-up script; None for one that was never set."""

    user_folder: str | None
    startup: str | None


def read_preferences(qupath: QuPath) -> Preferences:
    """Return the preferences of a QuPath, read by QuPath itself: each system stores them elsewhere."""
    found = call_qupath("preferences", {}, qupath)
    return Preferences(found["user_folder"], found["startup"])


def install_into(
    qupath: QuPath, *, version: str, python: Path | None = None, user_folder: Path | None = None
) -> Installed:
    """Copy the scripts into the user folder of a QuPath, and register our start-up script.

    A start-up script of the user's is run by ours. A QuPath that has no user folder yet gets the one that it would
    propose itself.

    Parameters
    ----------
    qupath
        The QuPath to install into.
    version
        Version of this package.
    python
        Python interpreter that the scripts shall use; None for the present one.
    user_folder
        QuPath's user folder; None for the one in its preferences.

    Returns
    -------
    Installed
        Folder, number of files, and start-up script.

    Raises
    ------
    OutputError
        The folder cannot be written.
    QuPathError
        QuPath's preferences cannot be read or written.
    """
    kept = read_preferences(qupath)
    folder = user_folder or Path(kept.user_folder or default_user_folder(qupath.version))
    done = copy_scripts(folder, python=python, version=version, former_startup=kept.startup)
    # Starting QuPath takes seconds, so the preferences are written only if they differ.
    wanted: dict[str, str | None] = {}
    if kept.user_folder is None and user_folder is None:
        wanted["user_folder"] = str(folder)
    if done.startup is not None and kept.startup != str(done.startup):
        wanted["startup"] = str(done.startup)
    if wanted:
        call_qupath("preferences", {"set": wanted}, qupath)
    return done


def remove_from(qupath: QuPath, *, user_folder: Path | None = None) -> int:
    """Remove the scripts from a QuPath, restore the user's own start-up script, and return the number of files.

    Raises
    ------
    QuPathError
        Nothing is installed in `user_folder`, or QuPath's preferences cannot be read or written.
    """
    kept = read_preferences(qupath)
    folder = user_folder or Path(kept.user_folder or default_user_folder(qupath.version))
    n_files, former = remove_scripts(folder)
    # A start-up script that the user chose since stays.
    if kept.startup is not None and Path(kept.startup) in our_startups(folder):
        call_qupath("preferences", {"set": {"startup": former}}, qupath)
    if n_files == 0 and user_folder is not None:
        raise QuPathError(f"No scripts of qupath-her2 are installed in '{folder}'.")
    return n_files
