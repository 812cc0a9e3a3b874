"""Takes the pictures of the examples' pages in QuPath's window: ``python -m tests.gui.example_pictures``.

They show drawn slides only. Needs a QuPath and a virtual screen, as the tests of this folder.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import ROOT, python_program
from tests.gui.first_hour import Hour
from tests.gui.hand import OTHER_WINDOWS_CLOSED, draw_polygon, select, set_class
from tests.gui.screen import missing_programs, screen
from tests.gui.walk_through import show_report, write_stills
from tests.helpers.example_files import EXAMPLES
from tests.helpers.qupath import QuPath, qupaths_to_test

#: The large nest of slide03 as a person outlines it, and a point in it where no cell lies on an outline.
NEST = (
    (12, 12), (150, 8), (280, 8), (420, 55), (480, 110), (560, 102), (640, 118), (690, 170), (690, 205), (560, 215),
    (450, 238), (408, 330), (418, 420), (300, 500), (140, 450), (82, 390), (70, 260), (95, 150), (40, 108),
)  # fmt: skip
IN_NEST = (300, 230)
OPENED = (
    "qupath.setProject(qupath.lib.projects.ProjectIO.loadProject(new File('%s'), "
    "java.awt.image.BufferedImage)); true"
)
#: Selects an image's largest annotation, as a click on its edge does.
LARGEST = (
    "def h = qupath.getImageData().getHierarchy(); h.getSelectionModel().setSelectedObject("
    "h.getAnnotationObjects().max { it.getROI().getArea() }); true"
)
#: An empty folder becomes a project with one image, as by dragging both onto the window.
NEW_PROJECT = (
    "def project = qupath.lib.projects.Projects.createProject(new File('%s'), java.awt.image.BufferedImage); "
    "def support = qupath.lib.images.servers.ImageServerProvider.getPreferredUriImageSupport("
    "java.awt.image.BufferedImage, new File('%s').toURI().toString()); "
    "def entry = project.addImage(support.getBuilders()[0]); entry.setImageName('new2.ome.tif'); "
    "def data = entry.readImageData(); "
    "data.setImageType(qupath.lib.images.ImageData.ImageType.BRIGHTFIELD_H_DAB); entry.saveImageData(data); "
    "project.syncChanges(); qupath.setProject(project); true"
)
TILES_HIDDEN = "qupath.getViewer().getOverlayOptions().setShowDetections(false); true"
#: What the slider of the toolbar does.
FADED = "qupath.getViewer().getOverlayOptions().setOpacity(%sf); true"
#: Scrolls the open report to one of its headings or captions.
SCROLLED = (
    "def stage = javafx.stage.Window.getWindows().find { it instanceof javafx.stage.Stage && it.getTitle() == "
    "'report.html' }; stage.getScene().getRoot().getEngine().executeScript(\"Array.from("
    "document.querySelectorAll('h2, h3, p, figcaption')).filter(e => e.textContent.trim().startsWith('%s'))[%s]"
    '.scrollIntoView()"); true'
)
#: What QuPath 0.5 asks where a project was moved, and a field that it does not have.
MOVED, FILTER = "Apply changes", "Filter measurements by key"
NETWORK = "Another one: choose its file next"


def open_image(hour: Hour, name: str) -> None:
    hour.shown.click(name, times=2)
    hour.shown.wait(lambda s: s["image"] == name, f"'{name}'")


def qupath_project(hour: Hour) -> None:
    """Go through the page of 02_qupath_project."""
    shown = hour.shown
    shutil.copytree(EXAMPLES / "02_qupath_project", hour.study, ignore=shutil.ignore_patterns("pictures"))
    # What dragging the file onto the window does.
    shown.do(OPENED % (hour.study / "project.qpproj"))
    shown.wait(lambda s: {"slide01", MOVED} & {t["text"] for t in s["texts"]}, "the project")
    if MOVED in shown.texts():
        shown.click(MOVED)
    open_image(hour, "slide01")
    shown.click("Annotations")
    shown.ask(LARGEST)
    if shown.sees(lambda s: any(t["text"] == FILTER for t in s["texts"]), 10):
        shown.click(FILTER)
        shown.press(*"HER2")
    hour.still("scored")
    shown.click("Project")
    open_image(hour, "slide02")
    hour.still("outlined")
    hour.choose("Score open image")
    hour.result("score", "3+: ")
    open_image(hour, "slide03")
    draw_polygon(shown, NEST)
    set_class(shown, *IN_NEST, "Tumor")
    hour.still("drawn")
    hour.choose("Score open image")
    shown.box("unsaved changes")
    hour.close("Yes", "unsaved changes")
    hour.result("negative", "0: ")
    show_report(shown, hour.study / "her2" / "report.html")
    hour.still("report")


def train_and_predict(hour: Hour) -> None:
    """Go through the page of 03_train_and_predict: its commands, the reports, then QuPath."""
    shown = hour.shown
    shutil.copytree(EXAMPLES / "03_train_and_predict", hour.study, ignore=shutil.ignore_patterns("pictures"))
    for command in page_commands("03_train_and_predict"):
        words = [sys.executable, "-m", "qupath_her2", *command]
        subprocess.run(words, cwd=hour.study, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    models = hour.study / "cohort" / "her2" / "models"
    for name, report, heading, number in (
        ("training", models / "tumour" / "report.html", "Training", 0),
        ("prediction", hour.study / "new" / "her2" / "predictions" / "report.html", "Image and predicted", 1),
    ):
        show_report(shown, report)
        shown.ask(SCROLLED % (heading, number))
        hour.still(name)
        shown.ask(OTHER_WINDOWS_CLOSED)
    folder = hour.study / "qupath"
    folder.mkdir()
    shown.ask(NEW_PROJECT % (folder, hour.study / "new" / "new2.ome.tif"))
    open_image(hour, "new2.ome.tif")
    hour.choose("Network", "Predict with a network…")
    shown.wait_for(NETWORK)
    select(shown, "Tumor annotations", "Tumor annotations; where there are none, all tissue")
    hour.still("dialog")
    shown.click("OK")
    shown.choose_file("Network: its weights", models / "tumour" / "best.safetensors")
    shown.box("Extensions > HER2 > Network > Show heat map")
    shown.click("OK")
    shown.ask("qupath.getViewer().getView().requestFocus(); true")
    shown.press("f")
    shown.ask(FADED % 0.4)
    hour.still("tiles")
    shown.ask(TILES_HIDDEN)
    shown.ask(FADED % 0.6)
    hour.choose("Network", "Show heat map")
    shown.box("blue is low, red is high")
    shown.wait(lambda s: not any("blue is low" in t["text"] for t in s["texts"]), "the end of the note")
    hour.still("heat_map")


def page_commands(example: str) -> list[list[str]]:
    """The commands of an example's page that train and predict, as typed beside a copy of its folder in `demo`."""
    page = (EXAMPLES / example / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^qupath-her2 ((?:train|predict) .*?)(?:  +#.*)?$", page, re.MULTILINE)
    return [command.replace("demo/", "").split() for command in found if "--folds" not in command]


#: Example: its steps, and the stills that its page shows, in order.
PAGES: dict[str, tuple[Callable[[Hour], None], tuple[str, ...]]] = {
    "02_qupath_project": (qupath_project, ("scored", "outlined", "score", "drawn", "negative", "report")),
    "03_train_and_predict": (train_and_predict, ("training", "prediction", "dialog", "tiles", "heat_map")),
}


def go_through(example: str, qupath: QuPath, folder: Path) -> Hour:
    """Go through the page of an example with a copy of it in `folder`; return the hour with its stills."""
    for name in ("user", "stills"):
        (folder / name).mkdir()
    options = {"python": python_program(folder), "user": folder / "user", "first": SCRIPTS / "install.groovy"}
    with screen(qupath, None, None, folder / "window", **options) as shown:
        shown.box("HER2 menu installed")
        shown.click("OK")
        shown.menu_ready()
        hour = Hour(shown, folder / "study", folder / "stills")
        PAGES[example][0](hour)
    return hour


def main() -> None:
    """Take the pictures of some examples, or all, with the newest QuPath found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("example", nargs="?", choices=list(PAGES), help="its folder; else all")
    parser.add_argument("--out", type=Path, default=EXAMPLES, help="folder that holds the examples' own")
    given = parser.parse_args()
    qupaths = qupaths_to_test()
    if not qupaths or missing_programs():
        parser.error(
            f"this needs a QuPath, and for a virtual screen {', '.join(missing_programs()) or 'nothing'}"
        )
    for example in [given.example] if given.example else PAGES:
        with tempfile.TemporaryDirectory(prefix="example_") as place:
            hour = go_through(example, qupaths[-1], Path(place))
            write_stills(hour, given.out / example / "pictures", PAGES[example][1])


if __name__ == "__main__":
    main()
