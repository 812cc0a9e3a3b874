"""*Score project* over three drawn images: progress over images, Cancel that keeps what is finished, the rest later."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psutil

from tests.groovy.fields import Fields, make_fields, paused_python, run_of
from tests.gui.hand import select
from tests.gui.screen import WINDOW_MARKS
from tests.gui.test_menu_items import choose, opened
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS
SCORES = ("3+", "1+", "0")
#: What the progress window says while the second image is measured.
AT_WORK = re.compile(r"^1 of 3 done · about \d+ (s|min) left · case02 · Cells: [\d,]+")
#: Names, scores and cells of all images, as QuPath's project has them.
PROJECT = (
    "qupath.getProject().getImageList().collect { [name: it.getImageName(), score: it.getMetadataMap()"
    "['HER2 score'], cells: it.readHierarchy().getCellObjects().size()] }"
)


def n_cells(fields: Fields, number: int) -> int:
    """The cells that the result of an image counts."""
    return int(json.loads((run_of(fields, number) / "run.json").read_bytes())["counts"]["cells"])


def test_cancel_keeps_what_is_finished_and_the_rest_is_scored_later(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private", SCORES)
    paused, go_on = paused_python(tmp_path)
    with opened(fields, tmp_path, paused) as shown:
        choose(shown, "Score project")
        shown.wait(lambda s: any(AT_WORK.match(t["text"]) for t in s["texts"]), "the second image at work")
        shown.picture(tmp_path / "progress.png")
        # The first is in the project while the second is at work.
        assert [bool(image["score"]) for image in shown.ask(PROJECT)] == [True, False, False]
        (python,) = [p for p in psutil.Process(shown.process.pid).children(recursive=True) if is_paused(p)]
        shown.click("Cancel")
        table = shown.box("not reached before the cancel")
        shown.picture(tmp_path / "cancelled.png")
        assert table.startswith(
            "3 images: 1 scored, 0 without a score, 0 failed, 2 not reached before the cancel. "
        )
        assert re.search(
            rf"^case01 +3\+ +[\d.]+ +{n_cells(fields, 1)}\ncase02 +not reached\ncase03 +not reached$",
            table,
            re.MULTILINE,
        ), table
        assert "HER2: cancelled, 1 of 3 images scored" in shown.state()["titles"]
        assert not python.is_running()
        shown.click("OK")
        images = shown.ask(PROJECT)
        assert [image["score"] for image in images] == ["3+", None, None]
        assert [image["cells"] for image in images] == [n_cells(fields, 1), 0, 0]
        summary = (fields.her2 / "summary.csv").read_text(encoding="utf-8")
        assert "case01" in summary
        assert "case02" not in summary
        assert (fields.her2 / "report.html").is_file()

        go_on.touch()
        choose(shown, "Score…")
        shown.box("Score open image repeats these choices")
        select(shown, "The open image", "Images without a score")
        shown.picture(tmp_path / "dialog.png")
        shown.click("OK")
        table = shown.box("2 images: 2 scored")
        shown.picture(tmp_path / "rest.png")
        assert "case01" not in table
        shown.click("OK")
        images = shown.ask(PROJECT)
        assert [image["score"] for image in images] == list(SCORES)
        assert [image["cells"] for image in images] == [n_cells(fields, number) for number in (1, 2, 3)]


def is_paused(process: psutil.Process) -> bool:
    """Whether a process is the Python of the run."""
    try:
        return "tests.helpers.paused_python" in process.cmdline()
    except psutil.NoSuchProcess:
        return False
