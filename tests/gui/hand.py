"""What a pathologist's hand does in QuPath's window: draw with the mouse, set classes, open files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.gui.screen import Screen

#: Counts and H-score of each annotation as QuPath's own measurement table shows them.
COUNTS = (
    "def image = qupath.getImageData(); def all = image.getHierarchy().getAnnotationObjects() as List; "
    "def table = new qupath.lib.gui.measure.ObservableMeasurementTableData(); table.setImageData(image, all); "
    "all.collect { a -> [id: a.getID().toString(), class: String.valueOf(a.getPathClass()), "
    "counts: ['Negative', '1+', '2+', '3+'].collect { table.getNumericValue(a, 'Num Tumor: ' + it) }, "
    "hScore: table.getNumericValue(a, 'Tumor: H-score'), ours: a.getMeasurements() as Map] }"
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


def draw_rectangle(shown: Screen, x0: float, y0: float, x1: float, y1: float) -> None:
    """Draw an annotation with the rectangle tool."""
    before = len(shown.state()["objects"]["regions"])
    shown.ask("qupath.getViewer().getView().requestFocus(); true")
    shown.press("r")
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    shown.drag((x0, y0), middle, (x1, y1))
    shown.wait(lambda s: len(s["objects"]["regions"]) == before + 1, "the annotation")
    shown.press("m")


def set_class(shown: Screen, x: float, y: float, name: str) -> None:
    """Right-click on the selected annotation and set its class."""
    shown.click_image(x, y, button=3)
    shown.choose("Set classification", name)


def run_in_editor(shown: Screen, script: Path) -> None:
    """Open a script in the editor, as dragging it onto the window does, and run it."""
    shown.do(f"qupath.getScriptEditor().showScript(new File('{script}'))")
    shown.wait_for(script.name)
    shown.click("Run", "Button")
