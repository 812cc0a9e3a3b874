"""Empty files in the layout of a QuPath installation, as paquo looks for it."""

from __future__ import annotations

import sys
from pathlib import Path

_LAYOUTS = {
    "darwin": ("Contents/app", "Contents/runtime/Contents/Home/lib/libjli.dylib"),
    "win32": ("app", "runtime/bin/server/jvm.dll"),
}


def lay_out(folder: Path, version: str) -> Path:
    """Make a QuPath installation of a given version that can be found but not started."""
    jars, java = _LAYOUTS.get(sys.platform, ("lib/app", "lib/runtime/lib/server/libjvm.so"))
    for name in (f"{jars}/qupath-core-{version}.jar", f"{jars}/qupath-core-processing-{version}.jar", java):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder
