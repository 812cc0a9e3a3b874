"""A pathologist's clicks in QuPath's window, on a virtual screen."""

from __future__ import annotations

import json
from pathlib import Path

from qupath_her2.project.qupath.open_window import open_in_window
from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import HERE, make_fields, program_of, python_program
from tests.gui.screen import WINDOW_MARKS, screen
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS


def test_installed_menu_scores_the_open_image(qupath: QuPath, tmp_path: Path) -> None:
    """The install script, each click, the question about unsaved changes, the message, and the image afterwards."""
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private")
    user = tmp_path / "user"
    user.mkdir()
    python = python_program(tmp_path)
    install = SCRIPTS / "install.groovy"
    private = tmp_path / "window"
    with screen(qupath, fields.project, "case01", private, python=python, user=user, first=install) as shown:
        box = shown.wait(lambda s: any("HER2 menu installed" in t["text"] for t in s["texts"]), "the box")
        assert any("Python found: 3." in found["text"] for found in box["texts"])
        shown.click("OK")
        assert open_in_window(fields.project) is not None

        # A change by the user that is not saved.
        shown.do("qupath.getImageData().setProperty('mine', 'unsaved')")
        shown.choose("Extensions", "HER2", "Score open image", "Yes")
        done = shown.wait(lambda s: s["objects"].get("cells", 0) > 50, "cells")
        shown.wait(lambda s: any("Research use only." in t["text"] for t in s["texts"]), "the note")
        shown.click("OK")
        assert set(done["objects"]["classes"]) <= {"Tumor: Negative", "Tumor: 1+", "Tumor: 2+", "Tumor: 3+"}
        state = shown.wait(lambda s: s["metadata"].get("HER2 score") and not s["objects"]["unsaved"], "score")
        assert state["metadata"]["HER2 score"] == "3+"
        assert any(region.get("HER2: 3+ %", 0) > 10 for region in state["objects"]["regions"])
        assert Path(state["startup"]) == user / "her2" / "startup.groovy"

        shown.choose("Extensions", "HER2")
        shown.wait_for("Score…")
        shown.picture(tmp_path / "menu.png")
    assert open_in_window(fields.project) is None


def test_cancel_leaves_the_image_unchanged_and_the_users_start_up_script_runs(
    qupath: QuPath, tmp_path: Path
) -> None:
    """Installed like from a terminal; at its next start QuPath runs the user's own script and adds the menu."""
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private")
    theirs = tmp_path / "mine.groovy"
    theirs.write_text("new File(System.getProperty('her2.watch') + '.mine').text = 'ran'", encoding="utf-8")
    installed = tmp_path / "user" / "her2"
    installed.mkdir(parents=True)
    for file in [*SCRIPTS.glob("*.groovy"), *SCRIPTS.glob("lib/*.groovy")]:
        copy = installed / file.relative_to(SCRIPTS)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(file.read_bytes())
    facts = {"files": [], "former_startup": str(theirs), "python": None, "version": "1"}
    (installed / "her2.json").write_text(json.dumps(facts), encoding="utf-8")
    # It reports progress once and never ends.
    event = {
        "event": "tiles",
        "done": 41,
        "total": 100,
        "share": 0.41,
        "cells": 12300,
        "seconds_left": 20,
        "images": 1,
    }
    python = program_of(
        tmp_path / "python",
        f"case $1 in -c) echo 3.12 9.9; exit 0;; esac; echo '{json.dumps(event)}'; echo $$ > pid; sleep 600",
    )
    private = tmp_path / "window"
    startup = installed / "startup.groovy"
    with screen(qupath, fields.project, "case01", private, python=python, first=startup) as shown:
        assert (private / "watch.json.mine").read_text() == "ran"
        shown.do("qupath.getImageData().setChanged(false)")
        shown.menu_ready()
        shown.choose("Extensions", "HER2", "Score open image")
        shown.wait(
            lambda s: any("Cells: 12,300 · about 20 s left" in t["text"] for t in s["texts"]), "progress"
        )
        pid = int((fields.her2 / "pid").read_text())
        shown.click("Cancel")
        shown.wait(lambda s: any("Cancelled. Nothing in" in t["text"] for t in s["texts"]), "the notice")
        state = shown.state()
        assert state["objects"]["cells"] == 0
        assert not state["objects"]["unsaved"]
        assert not Path(f"/proc/{pid}").exists()


def test_result_goes_to_the_image_it_was_made_for(qupath: QuPath, tmp_path: Path) -> None:
    """The user opens another image while Python is running."""
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private", ("3+", "1+"))
    real = python_program(tmp_path)
    python = program_of(
        tmp_path / "slow",
        f'case $1 in -c) exec "{real}" "$@";; esac; touch started; '
        f'while [ ! -e go ]; do sleep 0.2; done; exec "{real}" "$@"',
    )
    private = tmp_path / "window"
    user = tmp_path / "user"
    user.mkdir()
    with screen(
        qupath, fields.project, "case01", private, python=python, user=user, first=SCRIPTS / "install.groovy"
    ) as shown:
        shown.click("OK")
        shown.do("qupath.getImageData().setChanged(false)")
        shown.choose("Extensions", "HER2", "Score open image")
        started = fields.her2 / "started"
        shown.wait(lambda s: started.exists(), "Python at work")
        shown.do("qupath.getImageData().setChanged(false)")
        shown.do("qupath.openImageEntry(qupath.getProject().getImageList()[1])")
        shown.wait(lambda s: s["image"] == "case02", "the other image")
        (fields.her2 / "go").touch()
        note = shown.wait(
            lambda s: any("Research use only." in t["text"] for t in s["texts"]),
            "the note of the first image",
        )
        assert "HER2: case01" in note["titles"]
        assert note["image"] == "case02"
        assert note["objects"]["cells"] == 0
    said = fields.run(HERE / "see.groovy", "-p", str(fields.project), "-i", "case01")
    assert '"HER2 score":"3+"' in said, said
    assert '"Tumor: 3+":' in said
