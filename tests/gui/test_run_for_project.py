"""*Run for project* of the script editor: QuPath saves each image afterwards, whether its script failed or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.groovy.fields import make_fields, program_of, python_program
from tests.gui.screen import WINDOW_MARKS, Screen
from tests.gui.test_menu_items import opened
from tests.helpers.qupath import QuPath

pytestmark = WINDOW_MARKS
#: The double arrow between the lists of images.
ALL = "\uf101"


def saved(shown: Screen, number: int) -> dict[str, Any]:
    """What QuPath reads from an image's files: objects as QuPath writes them, and metadata."""
    return dict(
        shown.ask(
            f"def e = qupath.getProject().getImageList()[{number}]; def g = qupath.lib.io.GsonTools.getInstance(); "
            "def all = e.readHierarchy().getFlattenedObjectList(null).findAll { !it.isRootObject() }; "
            "[objects: all.collect { g.toJson(it, qupath.lib.objects.PathObject) }.sort(), "
            "cells: all.count { it.isCell() }, metadata: e.getMetadataMap()]"
        )
    )


def run_for_project(shown: Screen, *, first: bool = False) -> None:
    """Choose all images (QuPath remembers the choice), wait for the end, and reload the open image."""
    shown.choose("Run", "Run for project")
    shown.wait(lambda s: "Select project images" in s["titles"], "the choice of images")
    if first:
        shown.click(ALL)
        shown.wait(lambda s: any("2 selected" in t["text"] for t in s["texts"]), "both images chosen")
    shown.click("OK")
    shown.box("Refresh open images?")
    shown.click("Yes")
    shown.wait(lambda s: not any("Refresh open images?" in t["text"] for t in s["texts"]), "the end of it")


def test_failed_scripts_leave_nothing_half_done(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "her2 study", tmp_path / "private", ("3+", "1+"))
    real = python_program(tmp_path)
    fault = tmp_path / "fault"
    python = program_of(
        tmp_path / "faulty",
        f'case "$*" in *2_case02*) [ -e "{fault}" ] && echo "Error: drawn fault" >&2 && exit 1;; esac; '
        f'exec "{real}" "$@"',
    )
    fault.touch()
    with opened(fields, tmp_path, python) as shown:
        scripts = Path(shown.state()["startup"]).parent
        shown.do(f"qupath.getScriptEditor().showScript(new File('{scripts}/score_image.groovy'))")
        before = saved(shown, 1)
        assert before["objects"]

        run_for_project(shown, first=True)
        shown.wait(lambda s: s["objects"]["cells"] > 50, "cells of the first image")
        status = fields.her2 / "status" / "score"
        assert json.loads((status / "1.json").read_bytes())["ok"] is True
        assert json.loads((status / "2.json").read_bytes())["message"] == "drawn fault"
        assert saved(shown, 1) == before
        first = saved(shown, 0)
        assert first["metadata"]["HER2 score"] == "3+"
        shown.picture(tmp_path / "first_image.png")

        # Saving the project file fails when the cells are already in memory and in the data file.
        fault.unlink()
        (fields.folder / "project.qpproj.tmp").mkdir()
        run_for_project(shown)
        assert "could not be saved" in json.loads((status / "2.json").read_bytes())["message"]
        assert saved(shown, 1) == before
        assert saved(shown, 0) == first

        (fields.folder / "project.qpproj.tmp").rmdir()
        run_for_project(shown)
        assert json.loads((status / "2.json").read_bytes())["ok"] is True
        after = saved(shown, 1)
        assert after["cells"] > 50
        assert after["metadata"]["HER2 score"] in ("1+", "2+")
        assert saved(shown, 0) == first
