"""A project saved by a real QuPath is scored, and the scores are pushed into it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.project.qupath.open_window import HEARTBEAT_SUFFIX
from qupath_her2.synthetic.example_project import write_field
from tests.helpers.qupath import QuPath
from tests.integration.conftest import Study, make, runs_java

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def objects_of(study: Study, name: str) -> list[dict[str, Any]]:
    """The objects that QuPath finds in an image, by ID."""
    (image,) = [image for image in study.look() if image["name"] == name]
    return sorted(image["objects"], key=lambda o: str(o["id"]))


def is_ours(object_: dict[str, Any]) -> bool:
    return str(object_["id"]).replace("-", "").startswith(b"QPHER2".hex())


def theirs(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The user's objects, without measurements of ours."""
    return [
        {**o, "measurements": {k: v for k, v in o["measurements"].items() if not k.startswith("HER2: ")}}
        for o in objects
        if not is_ours(o)
    ]


def test_project_is_scored_and_has_the_score(field: Study) -> None:
    before = objects_of(field, "plain.tif")
    done = field.her2("run", str(field.project), "--images", "plain*")
    words = done.stdout.splitlines()
    assert [line.split()[0] for line in words if line.startswith(("pull", "push", "report"))] == [
        "pull",
        "push",
        "report",
    ]
    run_dir = current_run(field.folder / "her2", "1_plain")
    assert run_dir is not None
    record, cells, score = read_run(run_dir)
    assert cells is not None
    assert score.score == "3+"
    assert record.image["pixel_size_source"] == "QuPath"

    images = field.look()
    (image,) = [image for image in images if image["name"] == "plain.tif"]
    ours = [o for o in image["objects"] if is_ours(o)]
    assert {o["id"].replace("-", "") for o in ours} == {row.tobytes().hex() for row in cells.uuid}
    assert theirs(sorted(image["objects"], key=lambda o: str(o["id"]))) == theirs(before)
    counted = {name: sum(o["pathClass"] == name for o in ours) for name in cells.class_names}
    assert counted == {name: record.counts[name] for name in cells.class_names}
    assert image["metadata"]["HER2 score"] == "3+"
    assert image["metadata"]["Scanner"] == "drawn"
    assert "HER2 score" not in next(i for i in images if i["name"] == "cells.tif")["metadata"]

    again = field.her2("run", str(field.project), "--images", "plain*")
    assert "1/1 up to date; nothing to do" in again.stdout
    assert "push" not in again.stdout
    assert objects_of(field, "plain.tif") == sorted(image["objects"], key=lambda o: str(o["id"]))


def test_dry_run_changes_nothing_and_a_second_push_neither(field: Study) -> None:
    field.her2("pull", str(field.project), "--images", "plain*")
    field.her2("run", str(field.project), "--images", "plain*", "--no-qupath")
    data = field.folder / "data" / "1" / "data.qpdata"
    before = data.read_bytes(), field.project.read_bytes()
    dry = field.her2("push", str(field.project), "--dry-run")
    assert "cells would go into 1 image" in dry.stdout
    assert (data.read_bytes(), field.project.read_bytes()) == before
    first = field.her2("push", str(field.folder))
    once = objects_of(field, "plain.tif")
    second = field.her2("push", str(field.folder))
    assert "1/1 up to date; nothing to do" in second.stdout
    assert objects_of(field, "plain.tif") == once
    again = field.her2("push", str(field.folder), "--force")
    assert first.stdout == again.stdout
    assert objects_of(field, "plain.tif") == once


def test_existing_cells_are_classified_in_place(field: Study) -> None:
    before = objects_of(field, "cells.tif")
    done = field.her2("run", str(field.project), "--images", "cells*", "--cells", "from-regions")
    assert "201 cells" in done.stdout
    after = objects_of(field, "cells.tif")
    assert [o["id"] for o in after] == [o["id"] for o in before]
    cells = [o for o in after if o["kind"] == "PathCellObject"]
    graded = [o for o in cells if str(o["pathClass"]).startswith("Tumor: ")]
    assert len(graded) > 100
    strange = ("pathClass", "parent", "measurements")
    for one, other in zip(before, after, strict=True):
        assert {k: v for k, v in one.items() if k not in strange} == {
            k: v for k, v in other.items() if k not in strange
        }
        assert one["measurements"].items() <= other["measurements"].items()


def test_push_refuses_regions_changed_since_scoring(field: Study) -> None:
    field.her2("pull", str(field.project), "--images", "plain*")
    field.her2("run", str(field.project), "--images", "plain*", "--no-qupath")
    move = field.private.parent / "move.groovy"
    move.write_text(
        "import static qupath.lib.scripting.QP.*\n"
        "def a = getAnnotationObjects()[0]\n"
        "a.setROI(a.getROI().translate(5, 5))\n"
        "getProjectEntry().saveImageData(getCurrentImageData())\n",
        encoding="utf-8",
    )
    field.script(move, "-p", str(field.project), "-i", "plain.tif")
    before = (field.folder / "data" / "1" / "data.qpdata").read_bytes()
    done = field.her2("push", str(field.project), code=3)
    assert "1 image not changed" in done.stdout
    assert "regions" in done.stderr
    assert (field.folder / "data" / "1" / "data.qpdata").read_bytes() == before


def test_project_open_in_a_window_is_not_changed(field: Study) -> None:
    field.her2("run", str(field.project), "--images", "plain*", "--whole-tissue")
    beat = field.project.with_name(field.project.name + HEARTBEAT_SUFFIX)
    beat.write_text(json.dumps({"host": "ward-7", "pid": 1, "version": "0.6.0"}))
    done = field.her2("push", str(field.project), code=1)
    assert "is open in QuPath 0.6.0 on ward-7" in done.stderr
    assert "Traceback" not in done.stderr
    field.her2("push", str(field.project), "--dry-run")
    long_ago = time.time() - 600
    os.utime(beat, (long_ago, long_ago))
    field.her2("push", str(field.project))


def test_project_moved_with_its_images_is_scored_and_one_without_is_refused(
    qupath: QuPath, tmp_path: Path
) -> None:
    first = tmp_path / "drive c" / "stüdy"
    (first / "slides").mkdir(parents=True)
    write_field(first / "slides", "field", score="3+", seed=1)
    made = make(qupath, first / "project", first / "slides", "plain=field.ome.tif")
    moved = Study(qupath, first.rename(tmp_path / "elsewhere") / "project", made.private.parent.parent)
    # As if saved on another system: neither the drive nor the folder exists here.
    text = re.sub(
        r'file:[^"]*/drive%20c/[^/"]*/', "file:/C:/drive%20c/", moved.project.read_text(encoding="utf-8")
    )
    assert text.count("C:/drive") >= 2
    moved.project.write_text(text, encoding="utf-8")
    moved.her2("run", str(moved.project))
    (image,) = json.loads((moved.folder / "her2" / "images.json").read_bytes())["images"]
    assert image["path"] == "../slides/field.ome.tif"
    (entry,) = json.loads(moved.project.read_bytes())["images"]
    assert entry["metadata"]["HER2 score"] == "3+"

    (tmp_path / "elsewhere" / "slides" / "field.ome.tif").unlink()
    done = moved.her2("pull", str(moved.project))
    assert "1 refused" in done.stdout
    assert "does not exist" in done.stderr
    scored = moved.her2("run", str(moved.project), "--no-qupath")
    assert "1 not assessable: 1 not exported" in scored.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_java_is_left_when_the_command_is_ended(field: Study, end: signal.Signals) -> None:
    command = field.command("pull", str(field.project))
    running = subprocess.Popen(command, env=field.environment(), stdout=subprocess.DEVNULL)
    child = _wait_for_child(running.pid)
    time.sleep(0.7)
    running.send_signal(end)
    assert running.wait(60) == (130 if end == signal.SIGINT else -signal.SIGKILL)
    gone, alive = psutil.wait_procs([child], timeout=60)
    assert not alive
    assert gone
    field.her2("pull", str(field.project))


def _wait_for_child(pid: int) -> psutil.Process:
    for _ in range(300):
        for child in psutil.Process(pid).children():
            if runs_java(child):
                return child
        time.sleep(0.05)
    raise AssertionError("QuPath was not started")
