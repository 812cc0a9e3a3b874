"""The dialogs *Score…* and *Predict with a network…*: choices, what they do, and that they are remembered."""

from __future__ import annotations

import json
from pathlib import Path

from tests.groovy.fields import make_fields, python_program
from tests.gui.hand import select
from tests.gui.screen import WINDOW_MARKS, Screen
from tests.gui.test_menu_items import choose, opened
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS
RECORDED = "As recorded for the image; else ASCO/CAP breast 2018/2023"
BIOPSY = "CAP/ASCP/ASCO gastric 2016, biopsy"


def guideline(shown: Screen) -> str:
    return str(shown.state()["metadata"].get("HER2 guideline", ""))


def test_choices_are_used_and_repeated_in_one_click(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private", ("3+", "1+"))
    with opened(fields, tmp_path, python_program(tmp_path)) as shown:
        choose(shown, "Score…")
        shown.box("Score open image repeats these choices")
        shown.picture(tmp_path / "dialog.png")
        select(shown, RECORDED, "CAP/ASCP/ASCO gastric 2016")
        select(shown, "As recorded for the image; else resection", "Biopsy")
        shown.click("OK")
        shown.wait(lambda s: s["objects"].get("cells", 0) > 50, "cells")
        shown.wait(lambda s: s["metadata"].get("HER2 guideline", "").startswith(BIOPSY), "the guideline")
        kept = json.loads((fields.her2 / "choices.json").read_bytes())["score"]
        assert (kept["guideline"], kept["specimen"], kept["scope"]) == ("gastric", "biopsy", "open")
        shown.box("Research use only.")
        shown.picture(tmp_path / "gastric.png")

    again = tmp_path / "again"
    again.mkdir()
    with opened(fields, again, python_program(tmp_path), image="case02") as shown:
        choose(shown, "Score open image")
        shown.wait(lambda s: s["metadata"].get("HER2 guideline", "").startswith(BIOPSY), "the same guideline")
        shown.box("Research use only.")
        shown.picture(tmp_path / "repeated.png")


def test_cancel_starts_nothing(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private")
    network = fields.her2 / "models" / "se1" / "best.safetensors"
    network.parent.mkdir(parents=True)
    network.touch()
    with opened(fields, tmp_path, python_program(tmp_path)) as shown:
        for items, said in (
            (("Score…",), "Score open image repeats"),
            (("Network", "Predict with a network…"), "never replaces it"),
        ):
            choose(shown, *items)
            shown.box(said)
            shown.picture(tmp_path / f"{items[-1][:5]}.png")
            if "Network" in items:
                assert "se1/best" in shown.texts()
            shown.click("Cancel")
            shown.wait(lambda s, said=said: not any(said in t["text"] for t in s["texts"]), "no dialog")
        assert not (fields.her2 / "choices.json").exists()
        assert shown.state()["objects"]["cells"] == 0
