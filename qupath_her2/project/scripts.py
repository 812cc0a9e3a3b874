"""Where this package keeps its Groovy scripts."""

from __future__ import annotations

from pathlib import Path

__all__ = ["groovy_folder"]


def groovy_folder() -> Path:
    """Return the folder of the Groovy scripts: in an installed package beside the rooms, in a checkout above."""
    package = Path(__file__).parents[1]
    installed = package / "groovy"
    return installed if installed.is_dir() else package.parent / "groovy"
