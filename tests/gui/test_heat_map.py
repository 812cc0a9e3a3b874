"""A prediction's heat maps on the image in QuPath's window, one after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import python_program
from tests.groovy.studies import Study, make_study
from tests.groovy.test_show_heat_map import with_maps
from tests.gui.screen import WINDOW_MARKS, screen
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS
LAID = "qupath.getViewer().getCustomOverlayLayers().collect { it.toString() }"
#: The colour that the viewer shows at a point of the image.
COLOUR = (
    "def drawn = qupath.lib.gui.tools.GuiTools.makeViewerSnapshot(qupath.getViewer()); "
    "def at = qupath.getViewer().imagePointToComponentPoint(%s, null, false); "
    "def rgb = new java.awt.Color(drawn.getRGB(at.getX() as int, at.getY() as int)); "
    "[rgb.getRed(), rgb.getGreen(), rgb.getBlue()]"
)


def test_maps_are_shown_in_turn_and_hidden_again(qupath: QuPath, tmp_path: Path) -> None:
    folder = tmp_path / "a study"
    make_study(qupath, folder, tmp_path / "private")
    study = Study(qupath, folder, tmp_path / "private")
    _, table, files = with_maps(study)
    (tmp_path / "user").mkdir()
    (tmp_path / "heat.png").write_bytes(files["heatmap.png"])
    expected = np.asarray(Image.open(tmp_path / "heat.png"))
    known = int(np.flatnonzero(np.isfinite(table.probabilities).all(axis=1))[-1])
    x, y, width, height = table.box_xywh[known].tolist()
    middle = f"new java.awt.geom.Point2D.Double({x + width / 2}, {y + height / 2})"
    options = {"python": python_program(tmp_path), "user": tmp_path / "user"}
    with screen(
        qupath, study.project, "drawn", tmp_path / "window", first=SCRIPTS / "install.groovy", **options
    ) as shown:
        shown.box("HER2 menu installed")
        shown.click("OK")
        shown.ask("qupath.getImageData().setChanged(false)")
        shown.ask("qupath.getViewer().getOverlayOptions().setShowAnnotations(false); true")
        shown.ask("qupath.getViewer().getOverlayOptions().setOpacity(1.0f); true")
        bare = shown.ask(COLOUR % middle)
        last = table.class_names[-1]
        for name in (f"Probability of {last}", "Grad-CAM for 3+"):
            shown.choose("Extensions", "HER2", "Network", "Show heat map")
            shown.until(lambda name=name: shown.ask(LAID) == [name], name)
            shown.picture(tmp_path / f"{name[:4]}.png")
            if name.startswith("Probability"):
                scale = expected.shape[1] / 400
                colour = expected[int((y + height / 2) * scale), int((x + width / 2) * scale)]
                assert np.abs(np.array(shown.ask(COLOUR % middle)) - colour[:3]).max() <= 3
        shown.choose("Extensions", "HER2", "Network", "Show heat map")
        shown.until(lambda: shown.ask(LAID) == [], "no map")
        assert shown.ask(COLOUR % middle) == bare
        assert not shown.state()["objects"]["unsaved"]
