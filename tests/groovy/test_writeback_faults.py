"""Cancelled or failing at any step, in memory or on disk: the image, its file and its metadata are unchanged."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qupath_her2.provenance import object_uuids
from qupath_her2.records import CellTable
from tests.groovy.fields import program_of
from tests.groovy.studies import Study, drawn_cells
from tests.groovy.test_writeback_round import our_steps, people

pytestmark = [pytest.mark.qupath, pytest.mark.slow]
#: Number of kills at random moments; HER2_KILLS sets another one.
KILLS = int(os.environ.get("HER2_KILLS", "3"))
#: An import checks for Cancel before the cells are built and after each kind of change.
MOMENTS = range(1, 6)


def test_cancelled_or_failed_at_every_moment(study: Study) -> None:
    first = study.write_run(1, cells=drawn_cells(f"{1 << 2:011x}", foreign=True))
    second = study.write_run(2, cells=drawn_cells(f"{2 << 2:011x}", shift_px=2, foreign=True))
    steps = [f"current={first}", "push", "edit=class", "save", "reopen", f"current={second}", "dump=before"]
    tries = [(kind, moment) for kind in ("cancel", "throw") for moment in MOMENTS]
    for kind, moment in tries:
        steps += [f"{kind}={moment}", "push", f"dump={kind}{moment}"]
    # One check later there is nothing left to cancel.
    seen = study.replay(
        *steps, "reopen", "dump=disk", f"cancel={MOMENTS[-1] + 1}", "push", "remove", "dump=gone"
    )
    _, *failed, pushed, removed = seen.lines()
    for (kind, moment), line in zip(tries, failed, strict=True):
        wanted = "Her2Cancelled" if kind == "cancel" else "IllegalArgumentException: drawn fault"
        assert line.startswith(f"FAILED push: {wanted}"), (kind, moment, line)
        assert seen.dump(f"{kind}{moment}") == seen.dump("before"), (kind, moment)
    assert seen.dump("disk")["objects"] == seen.dump("before")["objects"]
    assert pushed.startswith("DONE push")
    assert removed.startswith("DONE remove")


@pytest.mark.parametrize("first_push", [True, False], ids=["first", "second"])
def test_unwritable_files(study: Study, first_push: bool) -> None:
    """No user can write to folders in place of files."""
    first = study.write_run(1)
    second = study.write_run(2, cells=drawn_cells(f"{2 << 2:011x}", shift_px=2))
    ready = study.replay(f"current={first}", *([] if first_push else ["push"]), "dump=ready")
    data = study.data.read_bytes()
    project = study.project.read_bytes()

    (study.data.parent / "data.qpdata.bkp" / "x").mkdir(parents=True)
    seen = study.replay(f"current={second}", "dump=before", "push", "dump=data")
    assert "could not be saved" in seen.lines()[0], seen.lines()
    assert seen.dump("data") == seen.dump("before")
    assert study.data.read_bytes() == data
    (study.data.parent / "data.qpdata.bkp" / "x").rmdir()
    (study.data.parent / "data.qpdata.bkp").rmdir()

    (study.folder / "project.qpproj.tmp").mkdir()
    seen = study.replay("dump=before", "push", "dump=project")
    assert "project file" in seen.lines()[0], seen.lines()
    assert seen.dump("project") == seen.dump("before")
    assert study.data.read_bytes() == data
    assert study.project.read_bytes() == project
    (study.folder / "project.qpproj.tmp").rmdir()

    seen = study.replay("push", "reopen", "dump=pushed")
    assert seen.lines()[0].startswith("DONE push")
    assert our_steps(seen.dump("pushed")) == ["HER2: import results"]
    left = {path.name for path in study.data.parent.iterdir()}
    assert not any("previous" in name or name.endswith(".bkp") for name in left), left
    assert ("data.before-her2.qpdata" in left) is True
    assert ready.dump("ready")["type"] == seen.dump("pushed")["type"]


def test_project_file_is_as_qupath_writes_it(study: Study) -> None:
    """The file is the same text as after QuPath's own save, including its own address in it."""
    study.write_run(1)
    study.replay("push")
    ours = project_text(study)
    assert '"HER2 score": "2+"' in ours
    study.replay("save")
    assert project_text(study) == ours
    assert sorted(path.name for path in study.folder.glob("project*")) == [
        "project.qpproj",
        "project.qpproj.backup",
    ]


def project_text(study: Study) -> str:
    """The project file without the random names that QuPath makes up for masking each time it opens a project."""
    return re.sub('"randomizedName": "[^"]*"', "", study.project.read_text(encoding="utf-8"))


def test_full_disk(study: Study, tmp_path: Path) -> None:
    """No file of more than 256 kB can be written, so QuPath fails in the middle of the data file."""
    if sys.platform == "win32":
        pytest.skip("NOT TESTED: no file size limit on Windows")
    study.write_run(1, cells=many_cells(f"{1 << 2:011x}"))
    before = study.replay("dump=before").dump("before")
    files = {path: path.read_bytes() for path in (study.data, study.project)}
    limited = started_by(study, tmp_path / "limited", 'ulimit -f 512; exec "{}" "$@"')
    assert "could not be saved" in limited.replay("push").lines()[0]
    said = limited.run("import_results.groovy")
    assert said.startswith("exit 1")
    assert "Check that the disk is not full" in said
    assert {path: path.read_bytes() for path in files} == files
    seen = study.replay("dump=after", "push", "remove", "dump=gone")
    assert seen.dump("after") == before
    assert [line.split(":")[0] for line in seen.lines()] == ["DONE push", "DONE remove"]
    assert seen.dump("gone")["objects"] == before["objects"]


def test_read_only_project(study: Study, tmp_path: Path) -> None:
    study.write_run(1)
    before = study.replay("dump=before").dump("before")
    files = {path: path.read_bytes() for path in study.folder.rglob("*") if path.is_file()}
    with read_only(study, tmp_path / "guarded") as guarded:
        line = guarded.replay("push").lines()[0]
        assert "cannot be written. Nothing was changed." in line, line
        said = guarded.run("import_results.groovy")
        assert said.startswith("exit 1")
        assert "cannot be written. Nothing was changed." in said
    assert {path: path.read_bytes() for path in study.folder.rglob("*") if path.is_file()} == files
    seen = study.replay("dump=after", "push")
    assert seen.dump("after") == before
    assert seen.lines()[0].startswith("DONE push")


@contextmanager
def read_only(study: Study, program: Path) -> Iterator[Study]:
    """The study with a read-only folder; for the superuser that takes a mount."""
    if sys.platform == "win32":
        pytest.skip("NOT TESTED: read-only folders are a POSIX feature")
    if os.geteuid() == 0:
        mount = f'mount --bind "{study.folder}" "{study.folder}" && mount -o remount,ro,bind "{study.folder}"'
        if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
            pytest.skip("NOT TESTED: the superuser writes everywhere, and mounts are not allowed here")
        yield started_by(study, program, f'exec unshare -m sh -c \'{mount} && exec "{{}}" "$@"\' sh "$@"')
        return
    folders = [study.folder, *(path for path in study.folder.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield study
    finally:
        for folder in folders:
            folder.chmod(0o755)


def started_by(study: Study, program: Path, line: str) -> Study:
    """The study with a QuPath that is started through a line of shell."""
    launcher = program_of(program, line.format(study.qupath.launcher))
    return dataclasses.replace(study, qupath=dataclasses.replace(study.qupath, launcher=launcher))


def many_cells(run_hash: str) -> CellTable:
    """Copies of the drawn cells, enough for a large file."""
    few = drawn_cells(run_hash)
    n = 40
    rows = {
        name: np.concatenate([getattr(few, name)] * n) for name in ("region", "measurements", "cell_class")
    }
    random = np.random.default_rng(1)
    moved = {
        name: np.concatenate([getattr(few, name)] * n) for name in ("centroid_xy", "cell_xy", "nucleus_xy")
    }
    # Random shifts, because repeated data would compress to little.
    moved = {name: xy + random.uniform(0, 0.5, xy.shape).astype(np.float32) for name, xy in moved.items()}
    offsets = {
        name: np.concatenate([[0], np.cumsum(np.tile(np.diff(getattr(few, name)), n))])
        for name in ("cell_offsets", "nucleus_offsets")
    }
    return dataclasses.replace(few, uuid=object_uuids(run_hash, n * len(few)), **rows, **moved, **offsets)


def test_unreadable_data(study: Study) -> None:
    """QuPath shows such an image as empty and saving would lose the data; a killed save is repaired from its backup."""
    study.write_run()
    before = study.replay("dump=before").dump("before")
    whole = study.data.read_bytes()
    study.data.write_bytes(whole[: len(whole) // 3])
    seen = study.replay("push")
    assert "cannot be read" in seen.lines()[0]
    assert study.data.read_bytes() == whole[: len(whole) // 3]

    # The state after a kill in the middle of a save.
    (study.data.parent / "data.qpdata.bkp").write_bytes(whole)
    seen = study.replay("push", "remove", "reopen", "dump=after")
    assert [line.split(":")[0] for line in seen.lines()] == ["DONE push", "DONE remove"]
    assert seen.dump("after")["objects"] == before["objects"]


def test_killed_between_data_and_metadata(study: Study) -> None:
    """The next script on the project completes the metadata; a note whose data were never saved is dropped."""
    run = study.write_run()
    note = study.data.parents[1] / "1.her2-pending.json"
    assert "REPLAYED" not in study.attempt("push-halted")
    half = study.data.read_bytes()
    assert metadata(study) == {"Case": "7"}
    assert note.is_file()
    said = study.run("export_regions.groovy")
    assert "HER2_EXPORT_REGIONS_OK" in said, said
    assert metadata(study)["HER2 score"] == "2+"
    assert metadata(study)["HER2 run"] == run.name
    assert study.data.read_bytes() == half
    left = {path.name for path in study.data.parent.iterdir()}
    assert not note.exists()
    assert not any("previous" in name or name.endswith(".bkp") for name in left), left

    complete = metadata(study)
    foreign = {"metadata": {"HER2 score": "3+"}, "property": "HER2 run", "run": "ffffffffffe"}
    note.write_text(json.dumps(foreign), encoding="utf-8")
    assert "state=pushed" in study.run("import_results.groovy")
    assert not note.exists()
    assert metadata(study) == complete


def metadata(study: Study) -> dict[str, str]:
    """The image's metadata in the project file."""
    found: dict[str, str] = json.loads(study.project.read_bytes())["images"][0]["metadata"]
    return found


def test_killed_at_any_moment(study: Study) -> None:
    """All the user's objects are there when the project is reopened, and the next push completes."""
    first = study.write_run(1, cells=drawn_cells(f"{1 << 2:011x}", foreign=True))
    second = study.write_run(2, cells=drawn_cells(f"{2 << 2:011x}", shift_px=2, foreign=True))
    before = study.replay("dump=before").dump("before")
    rounds = [step for run in (first, second) for step in (f"current={run}", "push")] + ["remove"]
    chance = random.Random(KILLS)
    for kill in range(KILLS):
        done, share = chance.randrange(1, 8), chance.random()
        study.replay_and_kill(done, share, *rounds * 4)
        seen = study.replay("dump=killed", "push", "dump=pushed", "remove", "reopen", "dump=gone")
        assert [line.split(":")[0] for line in seen.lines()] == ["DONE push", "DONE remove"], (
            kill,
            done,
            share,
        )
        for name in ("killed", "pushed"):
            assert outlines(seen.dump(name)) == outlines(before), (kill, done, share, name)
        assert seen.dump("gone")["objects"] == before["objects"], (kill, done, share)


def outlines(dump: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Parents, outlines and names of the user's objects; their classes differ while they are classified."""
    return [
        (
            found["id"],
            found["parent"],
            str(found["geojson"].get("geometry")),
            str(found["geojson"]["properties"].get("name")),
        )
        for found in people(dump)
    ]
