"""Every menu item is clicked: what the user sees, and what is in the image afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import HERE, Fields, make_fields, program_of, python_program
from tests.gui.screen import WINDOW_MARKS, Screen, screen
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS
#: Draws an annotation that is not saved.
DRAW = (
    "def drawn = qupath.lib.objects.PathObjects.createAnnotationObject("
    "qupath.lib.roi.ROIs.createRectangleROI(1, 2, 3, 4, qupath.lib.regions.ImagePlane.getDefaultPlane())); "
    "drawn.setName('unsaved'); qupath.getImageData().getHierarchy().addObject(drawn); true"
)
SAVE = "qupath.getProject().getEntry(qupath.getImageData()).saveImageData(qupath.getImageData()); true"
#: Names of the annotations in the data file of the first image.
SAVED_NAMES = (
    "qupath.getProject().getImageList()[0].readHierarchy().getAnnotationObjects().collect { it.getName() }"
)


@contextmanager
def opened(fields: Fields, tmp_path: Path, python: Path, image: str = "case01") -> Iterator[Screen]:
    """QuPath's window with the menu just installed and its message closed."""
    user = tmp_path / "user"
    user.mkdir()
    private = tmp_path / "window"
    programs = make_browser(tmp_path / "programs", tmp_path / "opened")
    install = SCRIPTS / "install.groovy"
    with screen(
        fields.qupath,
        fields.project,
        image,
        private,
        python=python,
        user=user,
        first=install,
        programs=programs,
    ) as shown:
        shown.box("HER2 menu installed")
        shown.click("OK")
        shown.ask("qupath.getImageData().setChanged(false)")
        yield shown


def make_browser(folder: Path, opened: Path) -> Path:
    """A browser that only records the address; started by xdg-open, or as the desktop's default (Java 25)."""
    (folder / "applications").mkdir(parents=True)
    browser = program_of(folder / "xdg-open", f'echo "$1" > "{opened}"')
    (folder / "applications" / "browser.desktop").write_text(
        f"[Desktop Entry]\nType=Application\nName=Browser\nExec={browser} %u\nMimeType=text/html;\n"
    )
    (folder / "applications" / "mimeapps.list").write_text(
        "[Default Applications]\ntext/html=browser.desktop\n"
    )
    return folder


def choose(shown: Screen, *items: str) -> None:
    shown.choose("Extensions", "HER2", *items)


def test_every_menu_item(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private", ("3+", "1+"))
    python = python_program(tmp_path)
    with opened(fields, tmp_path, python) as shown:
        before = shown.ask(SAVED_NAMES)
        choose(shown, "Results", "Open report")
        assert "There is no report yet" in shown.box("no report")
        shown.picture(tmp_path / "no_report.png")
        shown.click("OK")

        choose(shown, "Regions", "Create classes")
        listed = shown.wait(lambda s: "Tumor: 3+" in s["listed"], "the classes in the list")["listed"]
        assert {"In situ", "Control", "Tumor: Negative"} <= set(listed)
        shown.box("7 classes added, 3 already listed.")
        shown.picture(tmp_path / "classes.png")

        choose(shown, "Set-up", "Check set-up")
        said = shown.box("a drawn 3+ field scored 3+")
        shown.picture(tmp_path / "set_up.png")
        assert "FAIL" not in said
        assert re.search(rf"^QuPath +PASS +{re.escape(qupath.version)}, this one$", said, re.MULTILINE), said
        assert str(python) in said
        shown.click("OK")

        choose(shown, "Score project")
        table = shown.box("2 images: 2 scored")
        assert table.startswith("2 images: 2 scored, 0 without a score, 0 failed. Research use only.")
        assert re.search(r"^case01 +3\+ .*\ncase02 +1\+ ", table, re.MULTILINE), table
        shown.picture(tmp_path / "scored.png")
        shown.click("OK")
        scored = shown.wait(lambda s: s["objects"]["cells"] > 50 and not s["objects"]["unsaved"], "cells")

        choose(shown, "Results", "Open report")
        address = tmp_path / "opened"
        shown.wait(lambda _: address.exists() and address.read_text().strip(), "the address in the browser")
        assert unquote(address.read_text()).strip().endswith("/her2 study/her2/report.html")

        shown.ask(DRAW)
        choose(shown, "Results", "Remove results")
        asked = shown.box("of qupath-her2 from this image?")
        n_cells = scored["objects"]["cells"]
        assert asked.startswith(f"Remove {n_cells} cells and the scores of qupath-her2 from this image?"), (
            asked
        )
        assert asked.endswith("Unsaved changes of yours are saved with it."), asked
        shown.picture(tmp_path / "question.png")
        shown.click("No")
        shown.wait(lambda s: any("Cancelled. Nothing in" in t["text"] for t in s["texts"]), "the notice")
        kept = shown.state()["objects"]
        assert (kept["cells"], kept["unsaved"]) == (scored["objects"]["cells"], True)
        assert shown.ask(SAVED_NAMES) == before

        choose(shown, "Results", "Remove results")
        shown.click("Yes")
        shown.box(f"{n_cells} cells and the scores removed, 0 that you edited kept")
        shown.click("OK")
        gone = shown.wait(
            lambda s: s["objects"]["cells"] == 0 and not s["metadata"].get("HER2 score"), "no cells"
        )
        assert not gone["objects"]["unsaved"]
        assert shown.ask(SAVED_NAMES) == [*before, "unsaved"]

        choose(shown, "Results", "Import results")
        shown.box("Score 3+.")
        shown.picture(tmp_path / "imported.png")
        shown.click("OK")
        shown.wait(lambda s: s["objects"]["cells"] == scored["objects"]["cells"], "the cells again")

        shown.ask(f"qupath.runScript(new File('{HERE}/adopt_cells.groovy'), null); true")
        shown.ask(SAVE)
        shown.wait(lambda s: not any(str(c).startswith("Tumor: ") for c in s["objects"]["classes"]), "theirs")
        choose(shown, "Cells", "Classify existing cells")
        shown.box("Research use only.")
        shown.picture(tmp_path / "classified.png")
        shown.click("OK")
        state = shown.wait(lambda s: s["metadata"].get("HER2 score") and not s["objects"]["unsaved"], "score")
        assert state["objects"]["cells"] == scored["objects"]["cells"]
        graded = {name: n for name, n in state["objects"]["classes"].items() if name.startswith("Tumor: ")}
        assert sum(graded.values()) > 50


def test_set_python(qupath: QuPath, tmp_path: Path) -> None:
    """With the desktop's file dialog; a Python without the package is refused with its own message."""
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private")
    good = python_program(tmp_path)
    bad = program_of(tmp_path / "bad python", "echo 'No module named qupath_her2'; exit 1")
    with opened(fields, tmp_path, good) as shown:
        config = Path(shown.state()["startup"]).with_name("her2.json")
        for program, said in ((bad, "No module named qupath_her2"), (good, "is used from now on")):
            choose(shown, "Set-up", "Set Python…")
            shown.choose_file("Python with qupath-her2", program)
            shown.box(said)
            shown.picture(tmp_path / f"{program.name}.png")
            shown.click("OK")
        assert json.loads(config.read_bytes())["python"] == str(good)
