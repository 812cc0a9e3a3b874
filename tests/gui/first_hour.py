"""A pathologist's first hour in QuPath's window, step by step: from an empty window to corrected, compared scores."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.groovy.fields import ROOT
from tests.gui.hand import (
    CELLS_OF,
    COUNTS,
    NUCLEI_ALONE,
    OTHER_WINDOWS_CLOSED,
    draw_polygon,
    find_class,
    run_in_editor,
    select,
    select_cells,
    set_class,
)
from tests.gui.screen import Screen

EXAMPLE = ROOT / "example_projects" / "01_score_cells"
FILE = "case03.ome.tif"
#: A nest of the image as a person outlines it, its corner that is moved later, and an outline that overlaps the nest.
NEST = (
    (205, 130), (260, 78), (330, 62), (425, 58), (432, 120), (415, 290), (438, 380), (415, 415), (300, 470),
    (228, 555), (170, 575), (145, 545), (135, 490), (170, 410), (280, 352), (297, 320), (275, 268), (215, 210),
)  # fmt: skip
CORNER, CORNER_THEN = (425, 58), (432, 150)
SECOND = ((280, 400), (420, 300), (440, 380), (418, 418), (372, 470), (330, 580), (240, 590))
#: A point in the nest where no cell lies on an outline, and one in the second outline alone.
IN_NEST, IN_SECOND = (330, 130), (340, 480)
IMPORT = "Import images to project"
N_CHANGED, N_DELETED = 10, 3
BREAST = "As recorded for the image; else ASCO/CAP breast 2018/2023"
GASTRIC = "CAP/ASCP/ASCO gastric 2016"


@dataclass(slots=True)
class Hour:
    """A window, the folder of the study that is made in it, and the stills taken so far."""

    shown: Screen
    study: Path
    stills: Path
    names: list[str] = field(default_factory=list)

    def still(self, name: str) -> None:
        """Take the next still."""
        self.names.append(name)
        self.shown.picture(self.stills / f"{len(self.names):02}_{name}.png")

    def choose(self, *items: str) -> None:
        self.shown.choose("Extensions", "HER2", *items)

    def message(self, words: str, name: str) -> str:
        """Wait for a message, take a still and close it."""
        said = self.shown.box(words)
        self.still(name)
        self.close("OK", words)
        return said

    def close(self, button: str, words: str) -> None:
        """Press a button of a box, and wait until the box with these words is gone."""
        self.shown.click(button)
        self.shown.wait(lambda s: not any(words in t["text"] for t in s["texts"]), f"the end of '{words}'")

    def result(self, name: str, *words: str) -> str:
        """Wait for the box of a result with these words, take a still, close it, and return its sentence."""
        said = self.shown.box("Research use only.")
        self.still(name)
        assert all(word in said for word in words), said
        self.close("OK", "Research use only.")
        return said

    def regions(self) -> list[dict[str, Any]]:
        """Counts and H-score of each scored annotation: QuPath's, which must equal ours."""
        found = [region for region in self.shown.ask(COUNTS) if "HER2: H-score" in region["ours"]]
        for region in found:
            counts = [0 if count is None else count for count in region["counts"]]
            n = sum(counts)
            assert n == region["ours"]["HER2: Num tumour cells"], region
            assert abs(region["hScore"] - region["ours"]["HER2: H-score"]) < 1e-6, region
            for count, name in zip(counts, ("Negative", "1+", "2+", "3+"), strict=True):
                assert abs(100 * count / n - region["ours"][f"HER2: {name} %"]) < 1e-6, region
        return found


def shown_name(file: str) -> str:
    """The name that QuPath gives to an OME-TIFF read by Bio-Formats."""
    return f"{file} - Image0"


def install(hour: Hour, script: Path) -> None:
    """Run install.groovy in the script editor, then meet a window without a project."""
    run_in_editor(hour.shown, script)
    said = hour.message("HER2 menu installed", "install")
    assert "Python found: 3." in said
    hour.shown.ask(OTHER_WINDOWS_CLOSED)
    hour.choose("Score open image")
    assert "File > Project > Create project" in hour.message("No image of a project", "no_project")
    hour.choose("Score…")
    assert "choose an empty folder" in hour.message("No project is open", "no_project_either")


def make_project(hour: Hour, files: Sequence[str] = (FILE,)) -> None:
    """An empty folder becomes a project, with copies of example images, by QuPath's own dialogs."""
    shown = hour.shown
    hour.study.mkdir()
    shown.click("Create project...")
    shown.choose_file("Select empty directory", hour.study)
    shown.wait_for(hour.study.name)
    hour.choose("Score open image")
    hour.message("The project has no images", "empty_project")
    copies = [shutil.copyfile(EXAMPLE / name, hour.study / name) for name in files]
    paths = "\\n".join(str(copy) for copy in copies)
    shown.ask(
        "def content = new javafx.scene.input.ClipboardContent(); "
        f'content.putString("{paths}"); javafx.scene.input.Clipboard.getSystemClipboard().setContent(content)'
    )
    shown.click("Add images...")
    shown.wait(lambda s: IMPORT in s["titles"], "the dialog for images")
    # QuPath 0.7 opens it too low for its own buttons.
    shown.ask(
        f"javafx.stage.Window.getWindows().find {{ it instanceof javafx.stage.Stage && it.getTitle() == '{IMPORT}' }}"
        ".setHeight(660); true"
    )
    # On a busy machine the dialog may still grow under the mouse.
    for _ in range(3):
        shown.click("From clipboard")
        if shown.sees(lambda s: any(t["text"] == str(copies[0]) for t in s["texts"]), 30):
            break
    shown.wait_for(str(copies[0]))
    shown.click("Import")
    shown.wait_for(shown_name(files[0]))
    hour.choose("Score open image")
    hour.message("No image is open", "no_image")


def open_image(hour: Hour, name: str) -> None:
    """Double-click an image of the list, and say what it is."""
    shown = hour.shown
    shown.click(name, times=2)
    shown.click("Brightfield\nH-DAB")
    shown.click("Apply")
    shown.wait(lambda s: s["image"] == name and "Set image type" not in s["titles"], "the image")


def draw_and_score(hour: Hour) -> None:
    """The annotation has no class at first; the message says what to do."""
    draw_polygon(hour.shown, NEST)
    hour.still("draw")
    hour.choose("Score open image")
    hour.shown.box("unsaved changes, such as a region that you drew")
    hour.still("unsaved")
    hour.close("Yes", "unsaved changes")
    said = hour.result("no_class", "1 annotation has no class", "Right-click")
    assert "--" not in said
    set_class(hour.shown, *IN_NEST, "Tumor")
    hour.choose("Score open image")
    hour.shown.box("2+: ")
    hour.shown.click("Show deciding cells")
    hour.shown.box("deciding cells selected")
    hour.result("score", "2+: ", "ISH is needed", "ASCO/CAP breast 2018/2023 (default)")
    hour.still("deciding")
    (region,) = hour.regions()
    assert region["ours"]["HER2: Num tumour cells"] > 100


def correct(hour: Hour) -> None:
    """Cells of class 2+ become 3+, others are deleted, a corner is moved: they count as they were left."""
    shown = hour.shown
    (before,) = hour.regions()
    shown.click("Annotations")
    select_cells(shown, shown.ask(CELLS_OF % "Tumor: 2+")[:N_CHANGED])
    find_class(shown, "Tumor: 3+")
    hour.still("correcting")
    shown.click("Tumor: 3+")
    shown.click("Set selected")
    select_cells(shown, shown.ask(CELLS_OF % "Tumor: Negative")[20 : 20 + N_DELETED])
    shown.press("Delete")
    hour.close("Yes", f"Delete {N_DELETED} selected objects?")
    hour.choose("Score open image")
    words = f"{N_CHANGED} cells you changed and {N_DELETED} you deleted are counted as you left them"
    hour.result("corrected", words)
    (after,) = hour.regions()
    assert after["counts"][0] == before["counts"][0] - N_DELETED
    assert after["counts"][2] == before["counts"][2] - N_CHANGED
    assert after["counts"][3] == before["counts"][3] + N_CHANGED

    shown.ask(
        "def h = qupath.getImageData().getHierarchy(); "
        "h.getSelectionModel().setSelectedObject(h.getAnnotationObjects()[0]); true"
    )
    shown.drag(CORNER, ((CORNER[0] + CORNER_THEN[0]) / 2, (CORNER[1] + CORNER_THEN[1]) / 2), CORNER_THEN)
    hour.choose("Score open image")
    hour.result("moved_edge", f"{N_DELETED} you deleted are counted as you left them")
    (moved,) = hour.regions()
    assert moved["ours"]["HER2: Num tumour cells"] < after["ours"]["HER2: Num tumour cells"]


def overlap(hour: Hour) -> None:
    """A second outline over the first: its cells count in both regions, once in the image, and the box says so."""
    draw_polygon(hour.shown, SECOND)
    set_class(hour.shown, *IN_SECOND, "Tumor")
    hour.choose("Score open image")
    said = hour.shown.box("regions overlap")
    assert "Tumor 1" in said
    assert "Tumor 2" in said
    hour.result("overlap", "2+: ")
    assert len(hour.regions()) == 2


def remove(hour: Hour) -> None:
    shown = hour.shown
    shown.click("Project")
    hour.choose("Results", "Remove results")
    hour.shown.box("of qupath-her2 from this image?")
    hour.still("remove")
    hour.close("Yes", "from this image?")
    hour.message("removed", "removed")
    state = shown.state()
    assert set(state["objects"]["classes"]) <= {"Tumor: 3+"}
    assert not state["metadata"].get("HER2 score")


def classify(hour: Hour) -> None:
    """The cells of QuPath's own detection, then nuclei alone as StarDist finds them, are classified in place."""
    shown = hour.shown
    # One outline, since QuPath detects cells twice where two overlap, and a wide one, since half of QuPath's cells hold
    # no nucleus in this stain, and do not count. The cells that were edited stay where they are.
    shown.ask(
        "def h = qupath.getImageData().getHierarchy(); def s = qupath.getImageData().getServer(); "
        "def all = h.getAnnotationObjects() as List; h.removeObjects(all.drop(1), true); "
        "all[0].setROI(qupath.lib.roi.ROIs.createRectangleROI(0, 0, s.getWidth(), s.getHeight(), "
        "all[0].getROI().getImagePlane())); h.fireHierarchyChangedEvent(this); "
        "h.getSelectionModel().setSelectedObject(all[0]); true"
    )
    edited = shown.state()["objects"]["cells"]
    assert 0 < edited <= N_CHANGED
    shown.choose("Analyze", "Cell detection", "Cell detection...")
    shown.click("Run")
    n = shown.wait(lambda s: s["objects"]["cells"] > 50, "QuPath's cells")["objects"]["cells"]
    assert len(shown.ask(CELLS_OF % "Tumor: 3+")) == edited
    shown.ask(OTHER_WINDOWS_CLOSED)
    hour.choose("Cells", "Classify existing cells")
    hour.shown.box("of HER2 that you changed lie")
    hour.result("classified", "tumour cells show", "you changed are counted as you left them")
    assert shown.state()["objects"]["cells"] == n
    hour.regions()
    assert shown.ask(NUCLEI_ALONE) > 50
    hour.choose("Cells", "Classify existing cells")
    hour.result("nuclei_alone", "tumour cells show")


def gastric(hour: Hour) -> None:
    """Another guideline is asked about, stands in the sentence, and holds for the next click."""
    shown = hour.shown
    hour.choose("Score…")
    shown.box("Score open image repeats these choices")
    select(shown, BREAST, GASTRIC)
    select(shown, "As recorded for the image; else resection", "Biopsy")
    hour.still("dialog")
    shown.click("OK")
    shown.box("scored by another guideline")
    hour.still("another_guideline")
    hour.close("Yes", "scored by another guideline")
    wanted = "CAP/ASCP/ASCO gastric 2016, biopsy (chosen for this image)"
    hour.result("gastric", wanted)
    hour.choose("Score open image")
    hour.result("gastric_again", wanted)
    assert shown.state()["metadata"]["HER2 guideline"] == wanted


def reopened(hour: Hour) -> None:
    """In a new window the image is as it was left, and scoring it changes nothing."""
    before = hour.shown.state()
    assert before["objects"]["cells"] > 50
    hour.shown.menu_ready()
    hour.choose("Score open image")
    hour.result("reopened", "CAP/ASCP/ASCO gastric 2016, biopsy (chosen for this image)")
    hour.regions()
    after = hour.shown.state()
    assert (after["objects"]["classes"], after["metadata"]) == (
        before["objects"]["classes"],
        before["metadata"],
    )
