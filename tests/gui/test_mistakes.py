"""What a person gets wrong in the first hour: each box says what to click, in QuPath's words."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.groovy.fields import make_fields, program_of, python_program
from tests.gui.screen import WINDOW_MARKS
from tests.gui.test_menu_items import choose, opened
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS
NO_PIXEL_SIZE = (
    "def image = qupath.getImageData(); image.updateServerMetadata("
    "new qupath.lib.images.servers.ImageServerMetadata.Builder(image.getServer().getMetadata())"
    ".pixelSizeMicrons(Double.NaN, Double.NaN).build()); image.setChanged(false); true"
)


def test_no_pixel_size(qupath: QuPath, tmp_path: Path) -> None:
    """That of the file is used, and the advice works with an annotation selected too."""
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private")
    with opened(fields, tmp_path, python_program(tmp_path)) as shown:
        shown.ask(NO_PIXEL_SIZE)
        choose(shown, "Score open image")
        shown.wait(
            lambda s: (
                "Yes" in [t["text"] for t in s["texts"]]
                or any("Research use only." in t["text"] for t in s["texts"])
            ),
            "an answer",
        )
        if "Yes" in shown.texts():
            shown.click("Yes")
        noted = shown.box("QuPath shows no pixel size for this image, so that of its file was used: 0.5 µm")
        shown.picture(tmp_path / "no_pixel_size.png")
        assert "Image tab, double-click Pixel width; click beside all annotations first" in noted


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that cannot be written; for the superuser that takes a mount."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
        return
    words = ["mount", "--bind", str(folder), str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: the superuser writes everywhere, and mounts are not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_read_only_project(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private")
    with read_only(fields.folder), opened(fields, tmp_path, python_program(tmp_path)) as shown:
        for items in (("Score open image",), ("Score project",), ("Regions", "Propose tumour regions")):
            choose(shown, *items)
            said = shown.box("cannot be written")
            shown.picture(tmp_path / f"{items[-1]}.png")
            assert "Make the project's folder writable, or copy the project" in said
            shown.click("OK")
            shown.wait(lambda s: not any("cannot be written" in t["text"] for t in s["texts"]), "no box")
        assert shown.state()["objects"]["cells"] == 0


def test_cancel_while_cells_are_found(qupath: QuPath, tmp_path: Path) -> None:
    """The real Python is at work on a field when Cancel is pressed; the image stays as it was."""
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private", ("3+",))
    real = python_program(tmp_path)
    python = program_of(
        tmp_path / "noted", f'case $1 in -c) exec "{real}" "$@";; esac; echo $$ > pid; exec "{real}" "$@"'
    )
    with opened(fields, tmp_path, python) as shown:
        choose(shown, "Score open image")
        shown.until((fields.her2 / "pid").exists, "Python at work")
        pid = int((fields.her2 / "pid").read_text())
        shown.wait_for("Cancel")
        shown.picture(tmp_path / "finding.png", at_once=True)
        shown.click("Cancel")
        shown.box("Cancelled. Nothing in")
        shown.picture(tmp_path / "cancelled.png")
        state = shown.state()
        assert state["objects"]["cells"] == 0
        assert not state["objects"]["unsaved"]
        assert not state["metadata"].get("HER2 score")
        assert not Path(f"/proc/{pid}").exists()
