"""Our scripts into a QuPath that is on this machine, and out of it: files and its start-up preference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qupath_her2.errors import QuPathError
from qupath_her2.project.qupath.installations import QuPath
from qupath_her2.project.qupath.jvm import call_qupath
from qupath_her2.project.qupath.scripts import (
    STARTUP,
    Installed,
    copy_scripts,
    default_user_folder,
    remove_scripts,
    scripts_folder,
)

__all__ = ["Preferences", "install_into", "read_preferences", "remove_from"]


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a QuPath keeps of its user folder and start-up script; None for what was never chosen."""

    user_folder: str | None
    startup: str | None


def read_preferences(qupath: QuPath) -> Preferences:
    """Ask a QuPath for its preferences, which each system keeps in a place of its own."""
    found = call_qupath("preferences", {}, qupath)
    return Preferences(found["user_folder"], found["startup"])


def install_into(
    qupath: QuPath, *, version: str, python: Path | None = None, user_folder: Path | None = None
) -> Installed:
    """Copy the scripts into the user folder of a QuPath, and have it run ours when it starts.

    A start-up script that the user has is run by ours. A QuPath that never asked for a user folder gets the one
    that it would propose.

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
    wanted: dict[str, str | None] = {}
    if kept.user_folder is None and user_folder is None:
        wanted["user_folder"] = str(folder)
    if done.startup is not None and kept.startup != str(done.startup):
        wanted["startup"] = str(done.startup)
    if wanted:
        call_qupath("preferences", {"set": wanted}, qupath)
    return done


def remove_from(qupath: QuPath, *, user_folder: Path | None = None) -> int:
    """Take the scripts out of a QuPath, put the user's own start-up script back, and return the number of files."""
    kept = read_preferences(qupath)
    folder = user_folder or Path(kept.user_folder or default_user_folder(qupath.version))
    ours = scripts_folder(folder) / STARTUP
    n_files, former = remove_scripts(folder)
    if kept.startup is not None and Path(kept.startup) == ours:
        call_qupath("preferences", {"set": {"startup": former}}, qupath)
    if n_files == 0 and user_folder is not None:
        raise QuPathError(f"There is nothing of qupath-her2 in '{folder}'.")
    return n_files
