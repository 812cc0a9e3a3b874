"""What a pathologist's hand does in QuPath's window: draw with the mouse, set classes, choose in lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.gui.screen import Screen

#: Counts and H-score of each annotation as QuPath's own measurement table shows them, and our measurements.
COUNTS = (
    "def image = qupath.getImageData(); def all = image.getHierarchy().getAnnotationObjects() as List; "
    "def table = new qupath.lib.gui.measure.ObservableMeasurementTableData(); table.setImageData(image, all); "
    "all.collect { a -> [counts: ['Negative', '1+', '2+', '3+'].collect { "
    "table.getNumericValue(a, 'Num Tumor: ' + it) }.collect { Double.isNaN(it) ? null : it }, "
    "hScore: table.getNumericValue(a, 'Tumor: H-score'), ours: a.getMeasurements() as Map] }"
)
#: Centres of the nuclei of cells of a class, from top to bottom.
CELLS_OF = (
    "qupath.getImageData().getHierarchy().getCellObjects()"
    ".findAll { it.getPathClass().toString() == '%s' }.collect { it.getNucleusROI() ?: it.getROI() }"
    ".collect { [it.getCentroidX(), it.getCentroidY()] }.sort { it[1] }"
)
#: Turns cells into nuclei without a membrane outline, as StarDist finds them, and returns how many.
NUCLEI_ALONE = (
    "def h = qupath.getImageData().getHierarchy(); def cells = h.getCellObjects() as List; "
    "def nuclei = cells.collect { it.getNucleusROI() }.findAll { it != null }"
    ".collect { qupath.lib.objects.PathObjects.createDetectionObject(it) }; "
    "h.removeObjects(cells, true); h.addObjects(nuclei); nuclei.size()"
)
OTHER_WINDOWS_CLOSED = (
    "javafx.stage.Window.getWindows().findAll { it instanceof javafx.stage.Stage && it != qupath.getStage() }"
    ".each { it.hide() }; true"
)


def draw_polygon(shown: Screen, corners: Sequence[tuple[float, float]]) -> None:
    """Draw an annotation with the polygon tool, a click for each corner, full-resolution px."""
    before = len(shown.state()["objects"]["regions"])
    shown.ask("qupath.getViewer().getView().requestFocus(); true")
    shown.press("p")
    for x, y in corners[:-1]:
        shown.click_image(x, y)
    shown.click_image(*corners[-1], times=2)
    shown.wait(lambda s: len(s["objects"]["regions"]) == before + 1, "the annotation")
    shown.press("m")


def set_class(shown: Screen, x: float, y: float, name: str) -> None:
    """Right-click on the selected annotation and set its class."""
    shown.click_image(x, y, button=3)
    shown.choose("Set classification", name)


def select_cells(shown: Screen, centres: Sequence[Sequence[float]]) -> None:
    """Double-click the first cell, and click the others with Ctrl held."""
    shown.click_image(*centres[0], times=2)
    for centre in centres[1:]:
        with shown.held("ctrl"):
            shown.click_image(*centre)
    n = shown.ask("qupath.getViewer().getAllSelectedObjects().count { it.isDetection() }")
    assert n == len(centres), f"{n} cells selected instead of {len(centres)}"


def find_class(shown: Screen, name: str) -> None:
    """Scroll to a class in the list of the Annotations tab."""
    shown.ask(
        "def list = qupath.getStage().getScene().getRoot().lookupAll('.list-view')"
        f".find {{ it.getItems().any {{ c -> String.valueOf(c) == '{name}' }} }}; "
        f"list.scrollTo(list.getItems().find {{ c -> String.valueOf(c) == '{name}' }}); true"
    )
    shown.wait_for(name)


def select(shown: Screen, now: str, wanted: str) -> None:
    """Open the list that shows `now`, and choose from it."""
    shown.click(now)
    shown.click(wanted)
    shown.wait(lambda s: [t["text"] for t in s["texts"]].count(now) <= 1, f"'{wanted}' instead of '{now}'")


def run_in_editor(shown: Screen, script: Path) -> None:
    """Open a script in the editor, as dragging it onto the window does, and press Run."""
    shown.do(f"qupath.getScriptEditor().showScript(new File('{script}'))")
    shown.wait_for(script.name)
    for _ in range(5):
        shown.click("Run", "Button")
        # On a busy machine the editor may still move under the mouse.
        if shown.sees(lambda s: any(t["text"].startswith(("Running:", "Stopped:")) for t in s["texts"]), 10):
            return
    raise AssertionError(f"{script.name} was not started")
