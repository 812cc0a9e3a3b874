"""Push without QuPath: the request it sends, and the use it makes of the answer."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qupath_her2.errors import ExchangeError, QuPathError
from qupath_her2.project.qupath import push as push_module
from qupath_her2.project.qupath.open_window import HEARTBEAT_SUFFIX, open_in_window
from qupath_her2.project.qupath.push import Pushed, push
from qupath_her2.provenance import run_key
from tests.helpers.qupath_requests import HASHES, SOME, Recorder, write_project, write_results


def test_push_requests_the_images_with_results_and_memory_for_their_cells(
    tmp_path: Path, asked: Recorder
) -> None:
    project = write_project(tmp_path)
    write_results(tmp_path / "her2", "1", "2")
    asked.answer = {
        "images": [
            {"state": "pushed", "name": "a", "added": 7, "unchanged": 2},
            {"state": "refused", "name": "b", "added": 99, "reason": "why"},
        ]
    }
    found = push(project)
    assert found.total("added") == 7
    assert [image["reason"] for image in found.refused] == ["why"]
    push(project, images=["a"], dry_run=True)
    (_, whole, most), (_, part, few) = asked.calls
    assert (whole["only"], whole["dry_run"], most) == (["1", "2"], False, 2000)
    assert (part["only"], part["dry_run"], few) == (["1"], True, 1005)


def test_push_of_results_already_shown_does_not_start_qupath(tmp_path: Path, asked: Recorder) -> None:
    project = write_project(tmp_path, run=run_key(HASHES["1"]))
    write_results(tmp_path / "her2", "1")
    found = push(project, only_new=True)
    assert (found.images, found.n_current) == ((), 1)
    assert not asked.calls
    asked.answer = {"images": [{"state": "pushed", "name": "a"}]}
    push(project)
    assert len(asked.calls) == 1


def test_events_tell_how_much_of_the_work_is_done(tmp_path: Path, asked: Recorder) -> None:
    project = write_project(tmp_path)
    write_results(tmp_path / "her2", "1", "2")
    asked.answer = {"images": []}
    told: list[dict[str, Any]] = []
    push(project, listen=told.append)
    assert [(e["event"], e["images_done"], e["images"]) for e in told] == [
        ("started", 0, 2),
        ("image", 1, 2),
        ("started", 1, 2),
        ("image", 2, 2),
    ]
    # 5 objects and 1,000 cells against none and 2,000, each beside what every image takes.
    first, second = push_module._OBJECTS_PER_IMAGE + 1005, push_module._OBJECTS_PER_IMAGE + 2000
    shares = [e["share"] for e in told]
    assert shares == pytest.approx([0, first / (first + second), first / (first + second), 1], abs=1e-4)


@pytest.mark.parametrize("file", ["current.json", "run.json"])
def test_a_damaged_result_is_named_and_the_others_are_pushed(
    tmp_path: Path, asked: Recorder, file: str
) -> None:
    project = write_project(tmp_path)
    write_results(tmp_path / "her2", "1", "2")
    (damaged,) = (tmp_path / "her2" / "results" / "1_x").rglob(file)
    damaged.write_text("{")
    asked.answer = {"images": [{"state": "pushed", "name": "ü.svs"}]}
    found = push(project)
    ((_, request, _),) = asked.calls
    assert request["only"] == ["2"]
    (refused,) = found.refused
    assert refused["name"] == "a.svs"
    assert refused["reason"].strip()
    assert [image["name"] for image in found.images] == ["ü.svs", "a.svs"]
    # Nothing is left for QuPath to do.
    assert push(project, images=["a"]).refused == (refused,)
    assert len(asked.calls) == 1


def test_push_without_results_names_the_command_to_run(tmp_path: Path, asked: Recorder) -> None:
    project = write_project(tmp_path)
    with pytest.raises(ExchangeError, match="never pulled"):
        push(project)
    write_results(tmp_path / "her2")
    with pytest.raises(ExchangeError, match="No image has a result"):
        push(project)


def test_push_refuses_a_project_open_in_a_window(tmp_path: Path, asked: Recorder) -> None:
    project = write_project(tmp_path)
    write_results(tmp_path / "her2", "1")
    beat = tmp_path / f"project.qpproj{HEARTBEAT_SUFFIX}"
    assert open_in_window(project) is None
    beat.write_text(json.dumps({"host": "ward-7", "version": "0.7.0"}))
    with pytest.raises(QuPathError, match=r"open in QuPath 0\.7\.0 on ward-7"):
        push(project)
    beat.write_text('{"ho')
    with pytest.raises(QuPathError, match="open in QuPath on this machine"):
        push(project)
    assert not asked.calls
    asked.answer = {"images": []}
    push(project, dry_run=True)
    beat.write_text("{}")
    old = time.time() - 90
    os.utime(beat, (old, old))
    assert open_in_window(project) is None
    assert {p.name for p in tmp_path.iterdir() if p.name.startswith(".her2")} == set()


def test_missing_counts_are_zero() -> None:
    pushed = Pushed(Path(), SOME, ({"state": "pushed", "added": None},))
    assert pushed.total("added") == 0
    assert np.isfinite(pushed.total("edited"))
