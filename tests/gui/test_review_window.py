"""The review window: keys and buttons in QuPath's own window, and what is in the image and the files afterwards."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from qupath_her2.cells.profiles import read_profile
from qupath_her2.cli import app
from qupath_her2.review.known_labels import known_changes
from qupath_her2.review.labels import list_labels
from qupath_her2.review.round_files import Round, read_rounds
from tests.benchmarks.live_cut_points import PANE
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
#: Classes of the regions, and the vectors and colours that QuPath uses.
REGIONS = (
    "def regions = qupath.getImageData().getHierarchy().getAnnotationObjects(); "
    "regions.collect { String.valueOf(it.getPathClass()) }.sort()"
)
STAINS = "qupath.getImageData().getColorDeconvolutionStains().getName()"
COLOURS = "String.valueOf(qupath.getOverlayOptions().getMeasurementMapper()?.getClass()?.getSimpleName())"


def list_rounds(fields: Fields) -> list[Round]:
    rounds, problems = read_rounds(fields.her2)
    assert problems == []
    return rounds


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
        assert shown.ask(COLOURS) == "Her2ReviewColours"
        shown.picture(tmp_path / "blind.png")
        before = shown.state()["objects"]["classes"]
        press(shown, "1")
        shown.box("4 answered")
        assert shown.state()["objects"]["classes"] == before
        assert label_codes(fields) == [2, 3, 0, 1]


def test_cut_points_follow_the_sliders_and_are_applied(qupath: QuPath, tmp_path: Path) -> None:
    fields = scored(qupath, tmp_path, "2+")
    with opened(fields, tmp_path, python_program(tmp_path)) as shown:
        choose(shown, "Review…")
        shown.box("No queue was chosen for the project")
        shown.click("Cut-points")
        as_scored = shown.box("tumour cells show")
        before = shown.state()["objects"]["classes"]
        shown.ask(PANE + "pane.sliders[2].setValue(0.35); true")
        shown.wait(
            lambda s: any("3+: " in t["text"] and "intense" in t["text"] for t in s["texts"]), "a live 3+"
        )
        shown.picture(tmp_path / "dragged.png")
        assert shown.box("tumour cells show") != as_scored
        # Colours changed, classes did not.
        assert shown.state()["objects"]["classes"] == before
        # On a slow machine the colours come when the slider rests.
        shown.until(lambda: shown.ask(COLOURS) == "Her2ReviewColours", "the colours of the live classes")
        shown.click("Reset")
        shown.wait(lambda s: any(t["text"] == as_scored for t in s["texts"]), "the sentence of the run")
        assert shown.ask(COLOURS) != "Her2ReviewColours"

        shown.ask(PANE + "pane.sliders[2].setValue(0.35); true")
        live = shown.ask(PANE + "pane.live.at(pane.cuts).perClass as List")
        shown.click("Apply to image")
        shown.box("Cut-points: profile by-hand-1_case01")
        shown.wait(lambda s: "Progress" not in s["titles"], "the end of the progress window")
        shown.picture(tmp_path / "applied.png")
        shown.click("OK")
        classes = shown.state()["objects"]["classes"]
        names = ("Tumor: Negative", "Tumor: 1+", "Tumor: 2+", "Tumor: 3+")
        assert [classes.get(name, 0) for name in names] == live
        assert shown.state()["metadata"]["HER2 score"] == "3+"
        profile = read_profile(fields.her2 / "profiles" / "by-hand-1_case01.json")
        assert profile.origin["set_by"]
        assert profile.cut_points.intense_od < 0.2

        shown.click("Estimate stains")
        shown.box("QuPath's stain vectors were estimated")
        assert shown.ask(STAINS) == "H-DAB estimated by HER2 review"
        shown.click("Undo")
        shown.box("still has QuPath's default stain vectors")
        assert shown.ask(STAINS) == "H-DAB default"


def test_regions_corrections_and_my_score(qupath: QuPath, tmp_path: Path) -> None:
    fields = scored(qupath, tmp_path, "2+")
    with opened(fields, tmp_path, python_program(tmp_path)) as shown:
        choose(shown, "Review…")
        # HER2's menu has an item of the same name as the tab.
        shown.box("Press Next cell to begin")
        shown.click("Regions")
        shown.box("0 of 3 regions")
        press(shown, "space")
        shown.box("1 of 3 regions")
        shown.picture(tmp_path / "region.png")
        press(shown, "x")
        shown.box("2 of 3 regions")
        assert shown.ask(REGIONS) == ["Ignore*", "Tumor", "Tumor"]
        press(shown, "u")
        shown.box("1 of 3 regions")
        assert shown.ask(REGIONS) == ["Tumor", "Tumor", "Tumor"]
        press(shown, "x")
        shown.click("Cells")
        press(shown, "space", "3")
        shown.box("1 answered")

        shown.click("Corrections")
        shown.box("No score of yours yet")
        shown.ask(PANE.replace("Cut-points", "Corrections") + "pane.score.setValue('3+'); true")
        shown.click("Keep")
        shown.wait(lambda s: s["metadata"].get("HER2 reader score") == "3+", "the score among the metadata")
        shown.click("Show what changed since last round")
        shown.box("save")
        shown.click("Yes")
        shown.box("changes since the last round")
        shown.picture(tmp_path / "changes.png")
        assert list_rounds(fields) == []
        shown.click("Collect corrections")
        shown.box("Round 001-")
        shown.picture(tmp_path / "collected.png")
        (one,) = list_rounds(fields)
        words = sorted((change.kind, change.change, change.after) for change in one.new)
        assert [word for word in words if word[0] != "cell"] == [
            ("region", "class changed", "Ignore*"),
            ("score", "score typed", "3+"),
        ]
        shown.click("Show what changed since last round")
        shown.box("Nothing changed since the last round")


def rename_reader(shown: Screen, name: str) -> None:
    window = PANE.replace("Cut-points", "Corrections") + "def home = pane.home; "
    shown.ask(window + f"home.readerField.setText('{name}'); home.rename(); true")


def save(shown: Screen) -> None:
    """Save the image as a person does, in QuPath's main window."""
    shown.ask("qupath.getStage().requestFocus(); qupath.getViewer().getView().requestFocus(); true")
    shown.press("ctrl+s")


def test_saving_collects_and_conflicts_stand_side_by_side(qupath: QuPath, tmp_path: Path) -> None:
    fields = scored(qupath, tmp_path, "2+")
    with opened(fields, tmp_path, python_program(tmp_path)) as shown:
        choose(shown, "Review…")
        shown.box("No queue was chosen for the project")
        rename_reader(shown, "Anna")
        press(shown, "space", "3")
        shown.box("1 answered")
        shown.click("Corrections")
        shown.box("Collect whenever this image is saved")
        save(shown)
        shown.box("At the last save: Round 001-anna")
        shown.picture(tmp_path / "saved.png")
        first = list_rounds(fields)[-1]
        assert [(one.kind, one.change, one.after) for one in first.new] == [
            ("cell", "reclassified", "Tumor: 3+")
        ]

        # A second reader gives the same cell another class, and a save without changes collects nothing.
        cell = first.new[0].uuid
        rename_reader(shown, "Bo")
        shown.ask(
            "def h = qupath.getImageData().getHierarchy(); "
            f"def cell = h.getCellObjects().find {{ it.getID().toString() == '{cell}' }}; "
            "cell.setPathClass(qupath.lib.objects.classes.PathClass.fromString('Tumor: 2+')); "
            "h.fireObjectClassificationsChangedEvent(qupath, [cell]); true"
        )
        save(shown)
        shown.box("At the last save: Round 002-bo")
        assert len(list_rounds(fields)) == 2
        shown.click("Conflicts")
        shown.click("Show conflicts")
        shown.box("1 open conflict")
        shown.box("reclassified: Tumor: 3+")
        shown.box("reclassified: Tumor: 2+")
        assert "Her2ConflictOutlines" in shown.ask(
            "qupath.getViewer().getCustomOverlayLayers().collect { it.getClass().getSimpleName() }"
        )
        shown.picture(tmp_path / "conflict.png")
        shown.click("Take Bo's")
        shown.box("People agree")
        (label,) = [one for one in known_changes(fields.her2).changes if one.kind == "cell"]
        assert (label.author, label.after) == ("Bo", "Tumor: 2+")
        shown.click("Cells")
        assert "Her2ConflictOutlines" not in shown.ask(
            "qupath.getViewer().getCustomOverlayLayers().collect { it.getClass().getSimpleName() }"
        )
