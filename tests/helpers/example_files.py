"""Examples of the repository compared with what their scripts make."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from qupath_her2.slides.readers.slide import open_slide

__all__ = ["EXAMPLES", "assert_drawn_again", "example_files", "make_again"]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "example_projects"


def example_files(folder: Path) -> set[str]:
    """What a script makes in a folder of an example, by its path: all but the script, the page and its pictures."""
    kept = ("make.py", "README.md")
    every = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in every if name not in kept and not name.startswith(("pictures/", "__pycache__/"))}


def make_again(example: str, folder: Path, **variables: str) -> Path:
    """Run the script of an example as a user does, into `folder`, and return it."""
    subprocess.run(
        [sys.executable, str(EXAMPLES / example / "make.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **variables},
        stdout=subprocess.DEVNULL,
        timeout=900,
        check=True,
    )
    return folder


def assert_drawn_again(new: Path, committed: Path) -> None:
    """Assert that a drawn file is the one in the repository: pixels of an image, words of a text."""
    if new.suffix != ".tif":
        # Line ends are git's business.
        assert new.read_bytes().split() == committed.read_bytes().split()
        return
    with open_slide(new) as one, open_slide(committed) as two:
        assert one.pixel_size_um == two.pixel_size_um == 0.5
        left, right = (slide.read(0, 0, slide.width, slide.height).astype(int) for slide in (one, two))
    # Codecs of different versions round differently, the drawing must not.
    assert np.abs(left - right).mean() < 1.0
