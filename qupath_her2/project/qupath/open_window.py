"""Whether a project is open in a QuPath window: two programs that save one project lose each other's work.

QuPath itself leaves no lock. Our start-up script keeps a file beside the project while it is open there, and
touches it every ten seconds (design.md 3.13).
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from qupath_her2.errors import QuPathError

__all__ = ["HEARTBEAT_SUFFIX", "open_in_window", "refuse_open_project"]

#: Added to the name of the project file.
HEARTBEAT_SUFFIX = ".her2-open"
#: Age in seconds after which the window counts as gone; it touches the file every 10 s, if nothing holds it up.
FRESH_S = 45.0


def open_in_window(project_file: Path) -> str | None:
    """Return where the project is open (host and process, in words); None where no window has it open."""
    beat = project_file.with_name(project_file.name + HEARTBEAT_SUFFIX)
    try:
        touched = beat.stat().st_mtime
        content = json.loads(beat.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        # Just being written: somebody is there.
        content = {}
    else:
        if _disk_time(project_file.parent) - touched > FRESH_S:
            return None
    known = content if isinstance(content, dict) else {}
    return f"QuPath {known.get('version', '')} on {known.get('host', 'this machine')}".replace("  ", " ")


def refuse_open_project(project_file: Path) -> None:
    """Raise QuPathError where a window has the project open."""
    where = open_in_window(project_file)
    if where is not None:
        raise QuPathError(
            f"Project '{project_file}' is open in {where}. Close it there and repeat this, "
            "or bring the results in from that window: Extensions > HER2 > Import results."
        )


def _disk_time(folder: Path) -> float:
    """Return the present time by the clock of the disk: that of a network disk may be minutes off ours."""
    try:
        handle, name = tempfile.mkstemp(prefix=".her2-clock-", dir=folder)
    except OSError:
        # A project that cannot be written cannot be open for writing here either; our own clock will do.
        handle, name = tempfile.mkstemp()
    os.close(handle)
    try:
        return os.stat(name).st_mtime  # noqa: PTH116
    finally:
        os.unlink(name)  # noqa: PTH108
