"""The review window: keys and buttons in QuPath's own window, and what is in the image and the files afterwards."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from qupath_her2.cli import app
from qupath_her2.review.labels import list_labels
from tests.groovy.fields import Fields, closing, make_fields, python_program
from tests.gui.screen import WINDOW_MARKS, Screen
from tests.gui.test_menu_items import choose, opened
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS
#: Class of the selected cell.
SELECTED = (
    "def found = qupath.getImageData().getHierarchy().getSelectionModel().getSelectedObject(); "
    "String.valueOf(found?.getPathClass())"
)
#: Where the viewer is, as a number that changes with it.
PLACE = "qupath.getViewer().getCenterPixelX() + 1000 * qupath.getViewer().getCenterPixelY()"


def press(shown: Screen, *keys: str) -> None:
    shown._xdotool("search", "--onlyvisible", "--name", "HER2: review", "windowactivate", "--sync")
    for key in keys:
        shown._xdotool("key", "--clearmodifiers", key)


def scored(qupath: QuPath, tmp_path: Path, *scores: str) -> Fields:
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private", scores)
    for number in range(1, len(scores) + 1):
        closing(fields.on_image("score_image.groovy", "-s", image=f"case{number:02}"))
    return fields


def label_codes(fields: Fields) -> list[int]:
    labels, problems = list_labels((fields.her2 / "review" / "labels").iterdir())
    assert problems == []
    return [one.code for one in labels]


def test_cells_are_reviewed_by_keys_and_buttons(qupath: QuPath, tmp_path: Path) -> None:
    fields = scored(qupath, tmp_path, "2+", "3+")
    assert CliRunner().invoke(app, ["review", "queue", str(fields.folder), "--cells", "12"]).exit_code == 0
    with opened(fields, tmp_path, python_program(tmp_path)) as shown:
        choose(shown, "Review…")
        shown.box("12 cells of the project's queue")
        press(shown, "space")
        shown.box("Asked because")
        shown.picture(tmp_path / "cell.png")
        first = shown.ask(PLACE)
        press(shown, "2")
        shown.box("1 answered")
        assert shown.ask(SELECTED) == "Tumor: 2+"
        press(shown, "space", "3", "space", "x")
        shown.box("3 answered")
        assert shown.ask(SELECTED) == "Ignore*"
        assert shown.ask(PLACE) != first
        shown.picture(tmp_path / "ignored.png")
        press(shown, "u")
        shown.box("2 answered")
        assert shown.ask(SELECTED) != "Ignore*"
        shown.click("0")
        shown.box("3 answered")
        assert label_codes(fields) == [2, 3, 0]

        shown.click("Blind")
        shown.wait(lambda s: not any("Asked because" in t["text"] for t in s["texts"]), "no reason")
        press(shown, "space")
        shown.box("Which class has this cell?")
        assert not any("Tumor: " in text for text in shown.texts() if "program" in text)
        shown.picture(tmp_path / "blind.png")
        before = shown.state()["objects"]["classes"]
        press(shown, "1")
        shown.box("4 answered")
        assert shown.state()["objects"]["classes"] == before
        assert label_codes(fields) == [2, 3, 0, 1]
