"""The Groovy scripts of this package, and their place among the scripts of a QuPath.

They are copied to ``<QuPath user folder>/scripts/HER2``, where *Automate > User scripts* lists them. ``her2.json``
beside them says which Python to use, and what was there before, so that they can be taken away again.
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
    "read_config",
    "remove_scripts",
    "scripts_folder",
]

#: What the scripts read of their installation.
CONFIG = "her2.json"
#: Folder in the user folder where the library keeps its classes compiled (``groovy/lib/Her2Loader.groovy``).
COMPILED = "her2-compiled"
#: The script that QuPath runs when it starts; it runs the user's own first.
STARTUP = "startup.groovy"


@dataclass(frozen=True, slots=True)
class Installed:
    """What was installed: the folder, how many files, and the start-up script (None where there is none)."""

    folder: Path
    n_files: int
    startup: Path | None


def groovy_folder() -> Path:
    """Return the folder of the Groovy scripts: in an installed package beside the rooms, in a checkout above."""
    package = Path(__file__).parents[2]
    installed = package / "groovy"
    return installed if installed.is_dir() else package.parent / "groovy"


def default_user_folder(version: str) -> Path:
    """Return the user folder that a QuPath of `version` proposes at its first start, on every system."""
    return Path.home() / "QuPath" / ("v" + ".".join(version.split(".")[:2]))


def scripts_folder(user_folder: Path) -> Path:
    """Return where our scripts go in a QuPath user folder."""
    return user_folder / "scripts" / "HER2"


def read_config(folder: Path) -> dict[str, Any]:
    """Return what `copy_scripts` noted; empty where nothing is installed.

    Raises
    ------
    ExchangeError
        It is damaged.
    """
    path = folder / CONFIG
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ExchangeError(f"'{path}' cannot be read ({error}). Delete it and install again.") from error
    return content if isinstance(content, dict) else {}


def copy_scripts(
    user_folder: Path, *, python: Path | None = None, version: str, former_startup: str | None = None
) -> Installed:
    """Copy the scripts into a QuPath user folder and write which Python they are to use.

    Files of an earlier installation that are no longer ours are removed; files of others stay.

    Parameters
    ----------
    user_folder
        Of QuPath, e.g. ``~/QuPath/v0.6``; made where it is missing.
    python
        The interpreter with this package; the present one where None.
    version
        Of this package.
    former_startup
        The user's own start-up script, which ours is to run first; what an earlier installation
        noted is kept where this is ours already.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    source, folder = groovy_folder(), scripts_folder(user_folder)
    before = read_config(folder)
    files = [path.relative_to(source) for path in sorted(source.rglob("*.groovy"))]
    startup = folder / STARTUP if Path(STARTUP) in files else None
    if former_startup is not None and startup is not None and Path(former_startup) == startup:
        former_startup = before.get("former_startup")
    with output_errors(folder):
        for stale in {Path(name) for name in before.get("files", [])} - set(files):
            _inside(folder, stale).unlink(missing_ok=True)
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            replace_file(folder / file, (source / file).read_bytes())
    config = {
        "files": [file.as_posix() for file in files],
        "former_startup": former_startup,
        "python": str(python or sys.executable),
        "version": version,
    }
    replace_file(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False).encode() + b"\n")
    return Installed(folder, len(files), startup)


def remove_scripts(user_folder: Path) -> tuple[int, str | None]:
    """Take the scripts away again; return how many files, and the start-up script to put back (None for none)."""
    folder = scripts_folder(user_folder)
    config = read_config(folder)
    if not config:
        return 0, None
    names = [Path(name) for name in config.get("files", [])]
    with output_errors(folder):
        for name in [*names, Path(CONFIG)]:
            _inside(folder, name).unlink(missing_ok=True)
        for below in sorted({folder / name.parent for name in names}, reverse=True):
            # A folder with files of somebody else stays.
            with contextlib.suppress(OSError):
                below.rmdir()
        _remove_compiled(user_folder / COMPILED)
    return len(names), config.get("former_startup")


def _remove_compiled(folder: Path) -> None:
    """Take away what the library keeps compiled; QuPath on Windows holds what it has open."""
    with contextlib.suppress(OSError):
        for jar in folder.glob("*.jar"):
            jar.unlink()
        folder.rmdir()


def _inside(folder: Path, name: Path) -> Path:
    """Return a path below `folder`; a damaged list must not lead elsewhere."""
    path = folder / name
    if name.is_absolute() or ".." in name.parts:
        raise ExchangeError(
            f"'{folder / CONFIG}' lists '{name}', which is not in its folder. Delete that file."
        )
    return path
