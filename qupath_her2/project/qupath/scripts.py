"""Groovy script files: copied into a QuPath user folder, and removed from it.

They go to ``<QuPath user folder>/her2``; of its folder ``scripts`` QuPath would list all files in a menu, the library
too. ``her2.json`` in the same folder records which Python to use, which files were installed, and the user's previous
start-up script.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.writing import output_errors, replace_file

__all__ = [
    "COMPILED",
    "CONFIG",
    "STARTUP",
    "Installed",
    "copy_scripts",
    "default_user_folder",
    "groovy_folder",
    "our_startups",
    "read_config",
    "remove_scripts",
    "scripts_folder",
]

#: Record of the installation, read by the scripts and by `remove_scripts`.
CONFIG = "her2.json"
#: Folder in the user folder where the Groovy library caches its compiled classes (``groovy/lib/Her2Loader.groovy``).
COMPILED = "her2-compiled"
#: Script that QuPath runs when it starts; it runs the user's own start-up script first.
STARTUP = "startup.groovy"


@dataclass(frozen=True, slots=True)
class Installed:
    """The result of an installation: folder, number of files, and start-up script (None if there is none)."""

    folder: Path
    n_files: int
    startup: Path | None


def groovy_folder() -> Path:
    """Return the folder of the Groovy scripts: inside the package if installed, next to it in a checkout."""
    package = Path(__file__).parents[2]
    installed = package / "groovy"
    return installed if installed.is_dir() else package.parent / "groovy"


def default_user_folder(version: str) -> Path:
    """Return the user folder that a QuPath of `version` proposes at its first start, on every system."""
    return Path.home() / "QuPath" / ("v" + ".".join(version.split(".")[:2]))


def scripts_folder(user_folder: Path) -> Path:
    """Return the folder of our scripts in a QuPath user folder."""
    return user_folder / "her2"


def _earlier_folder(user_folder: Path) -> Path:
    """Return the folder of an earlier installation, which an update empties."""
    return user_folder / "scripts" / "HER2"


def our_startups(user_folder: Path) -> tuple[Path, Path]:
    """Return the start-up scripts in QuPath's preferences that are ours: that of today and that of earlier versions."""
    return scripts_folder(user_folder) / STARTUP, _earlier_folder(user_folder) / STARTUP


def read_config(folder: Path) -> dict[str, Any]:
    """Return the record written by `copy_scripts`; empty if nothing is installed.

    Raises
    ------
    ExchangeError
        The record is damaged.
    """
    path = folder / CONFIG
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ExchangeError(
            f"'{path}' cannot be read ({error}). Delete it and install the scripts again."
        ) from error
    return content if isinstance(content, dict) else {}


def copy_scripts(
    user_folder: Path, *, python: Path | None = None, version: str, former_startup: str | None = None
) -> Installed:
    """Copy the scripts into a QuPath user folder, and record which Python they shall use.

    Files of an earlier installation that no longer exist are removed; files of others stay.

    Parameters
    ----------
    user_folder
        QuPath's user folder, e.g. ``~/QuPath/v0.6``; created if missing.
    python
        Python interpreter that has this package; None for the present one.
    version
        Version of this package.
    former_startup
        The start-up script in QuPath's preferences, which ours runs first. If that is already ours, the one recorded
        by the earlier installation is kept.

    Returns
    -------
    Installed
        Folder, number of files, and start-up script.

    Raises
    ------
    OutputError
        The folder cannot be written.
    ExchangeError
        The record of an earlier installation is damaged.
    """
    source, folder = groovy_folder(), scripts_folder(user_folder)
    earlier = _earlier_folder(user_folder)
    before = read_config(folder) or read_config(earlier)
    files = [path.relative_to(source) for path in sorted(source.rglob("*.groovy"))]
    startup = folder / STARTUP if Path(STARTUP) in files else None
    # At an update the preferences name our own script, which must not run itself.
    if former_startup is not None and Path(former_startup) in our_startups(user_folder):
        former_startup = before.get("former_startup")
    with output_errors(folder):
        for stale in {Path(name) for name in read_config(folder).get("files", [])} - set(files):
            _inside(folder, stale).unlink(missing_ok=True)
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            replace_file(folder / file, (source / file).read_bytes())
    # Written last: after an interrupted update the old record still lists the old files.
    config = {
        "files": [file.as_posix() for file in files],
        "former_startup": former_startup,
        "python": str(python or sys.executable),
        "version": version,
    }
    replace_file(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False).encode() + b"\n")
    _remove_installed(earlier)
    return Installed(folder, len(files), startup)


def remove_scripts(user_folder: Path) -> tuple[int, str | None]:
    """Remove the scripts; return the number of files, and the user's start-up script to restore (None if none).

    Raises
    ------
    ExchangeError
        The record of the installation is damaged.
    OutputError
        A file cannot be removed.
    """
    found = [
        _remove_installed(place) for place in (scripts_folder(user_folder), _earlier_folder(user_folder))
    ]
    _remove_compiled(user_folder / COMPILED)
    return sum(n for n, _ in found), next((former for _, former in found if former is not None), None)


def _remove_installed(folder: Path) -> tuple[int, str | None]:
    """Remove the files that a record lists, and the record; return their number and the user's start-up script."""
    config = read_config(folder)
    names = [Path(name) for name in config.get("files", [])]
    if not config:
        return 0, None
    with output_errors(folder):
        for name in [*names, Path(CONFIG)]:
            _inside(folder, name).unlink(missing_ok=True)
        for below in sorted({folder / name.parent for name in names}, reverse=True):
            # Fails, as it should, if the user has put files of their own there.
            with contextlib.suppress(OSError):
                below.rmdir()
    return len(names), config.get("former_startup")


def _remove_compiled(folder: Path) -> None:
    """Remove the cached classes, as far as possible: on Windows a running QuPath locks those it has open."""
    with contextlib.suppress(OSError):
        for jar in folder.glob("*.jar"):
            jar.unlink()
        folder.rmdir()


def _inside(folder: Path, name: Path) -> Path:
    """Return the path of `name` in `folder`; ExchangeError if it leads out of it, as in a damaged record."""
    path = folder / name
    if name.is_absolute() or ".." in name.parts:
        raise ExchangeError(
            f"'{folder / CONFIG}' lists '{name}', which is not in its folder. Delete '{CONFIG}' and the scripts there."
        )
    return path
