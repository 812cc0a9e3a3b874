"""Projects open in a QuPath window: detected by a heartbeat file, and refused for writing.

Two programs that save the same project overwrite each other's work, and QuPath has no lock. Our start-up script keeps
a heartbeat file next to the project file while the project is open, and touches it every ten seconds.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from qupath_her2.errors import QuPathError

__all__ = ["HEARTBEAT_SUFFIX", "open_in_window", "refuse_open_project"]

#: Suffix added to the name of the project file.
HEARTBEAT_SUFFIX = ".her2-open"
#: Age in seconds after which the window counts as closed; it touches the file every 10 s unless QuPath is busy.
FRESH_S = 45.0


def open_in_window(project_file: Path) -> str | None:
    """Return a description of the QuPath that has the project open (version and host); None if it is not open."""
    beat = project_file.with_name(project_file.name + HEARTBEAT_SUFFIX)
    try:
        touched = beat.stat().st_mtime
        content = json.loads(beat.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        # The file is being written at this moment: a window is open.
        content = {}
    else:
        if _disk_time(project_file.parent) - touched > FRESH_S:
            return None
    known = content if isinstance(content, dict) else {}
    return f"QuPath {known.get('version', '')} on {known.get('host', 'this machine')}".replace("  ", " ")


def refuse_open_project(project_file: Path) -> None:
    """Raise QuPathError if the project is open in a QuPath window."""
    where = open_in_window(project_file)
    if where is not None:
        raise QuPathError(
            f"Project '{project_file}' is open in {where}. Close it there and try again, "
            "or import the results in that window: Extensions > HER2 > Results > Import results."
        )


def _disk_time(folder: Path) -> float:
    """Return the current time by the clock of the disk; that of a network drive may be minutes off ours."""
    try:
        handle, name = tempfile.mkstemp(prefix=".her2-clock-", dir=folder)
    except OSError:
        # A project in a read-only folder will not be saved by us anyway; our own clock is good enough.
        handle, name = tempfile.mkstemp()
    os.close(handle)
    try:
        return os.stat(name).st_mtime  # noqa: PTH116
    finally:
        os.unlink(name)  # noqa: PTH108
