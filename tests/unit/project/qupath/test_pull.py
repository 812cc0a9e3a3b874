"""Pull and push without a QuPath: what is asked of it, and what is made of its answer."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qupath_her2.errors import ExchangeError, Her2Error, OutputError, QuPathError
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import new_run
from qupath_her2.project.qupath import pull as pull_module
from qupath_her2.project.qupath import push as push_module
from qupath_her2.project.qupath.installations import QuPath
from qupath_her2.project.qupath.open_window import HEARTBEAT_SUFFIX, open_in_window
from qupath_her2.project.qupath.pull import pull
from qupath_her2.project.qupath.push import push
from qupath_her2.project.qupath.qpproj import open_project_file
from qupath_her2.provenance import run_key

SOME = QuPath("0.6.0", Path("somewhere"))
HASHES = {"1": "1" * 64, "2": "2" * 64}


def write_project(folder: Path, *, run: str | None = None) -> Path:
    """A project of two images, of which the first holds 5 objects and, where given, a run of ours."""
    images = [
        {"entryID": 1, "imageName": "a.svs", "metadata": {"HER2 run": run} if run else {}},
        {"entryID": 2, "imageName": "ü.svs"},
    ]
    path = folder / "project.qpproj"
    path.write_text(json.dumps({"version": "0.6.0", "images": images}))
    summary = folder / "data" / "1" / "summary.json"
    summary.parent.mkdir(parents=True)
    summary.write_text(json.dumps({"hierarchy": {"nObjects": 5}}))
    return path


def write_results(her2: Path, *ids: str) -> None:
    """An exchange folder with a finished run for each entry id."""
    her2.mkdir()
    images = [{"id": f"{n}_x", "entry_id": n, "name": f"{n}.svs", "path": f"{n}.svs"} for n in HASHES]
    (her2 / "images.json").write_text(json.dumps({"format": 1, "images": images}))
    for entry in ids:
        with lock_image(her2, f"{entry}_x") as lock, new_run(lock, HASHES[entry]) as writer:
            writer.write("score.json", b"{}")
            writer.finish(RunRecord("", HASHES[entry], {"name": "x"}, counts={"cells": 1000 * int(entry)}))


class Recorder:
    """Stands in for QuPath: keeps what it was asked, gives an answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.calls: list[tuple[str, dict[str, Any], int]] = []

    def __call__(
        self, verb: str, request: dict[str, Any], qupath: QuPath, *, n_objects: int, listen: Any, **_: Any
    ) -> dict[str, Any]:
        assert qupath == SOME
        self.calls.append((verb, request, n_objects))
        if verb == "export":
            listen({"event": "image", "image": "1_a"})
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder({"images": 2, "regions": 3, "cells": 0, "refused": {"b": "why"}})
    for module in (pull_module, push_module):
        monkeypatch.setattr(module, "choose_qupath", lambda version: SOME if version == "0.6.0" else None)
        monkeypatch.setattr(module, "call_qupath", recorder)
    return recorder


def test_pull_asks_for_all_images_or_those_named(tmp_path: Path, asked: Recorder) -> None:
    project = write_project(tmp_path)
    found = pull(project)
    assert found.ids == ("1_a",)
    assert (found.images, found.regions, found.refused, found.her2) == (2, 3, {"b": "why"}, tmp_path / "her2")
    pull(tmp_path, images=["u\u0308*"], out=tmp_path / "other", cells=True)
    (_, whole, most), (_, part, few) = asked.calls
    assert (whole["only"], most) == (None, 5)
    assert (part["only"], part["cells"], few) == (["2"], True, 0)
    assert part["her2"] == str(tmp_path / "other")


def test_pull_says_what_there_is_where_a_name_fits_nothing(tmp_path: Path, asked: Recorder) -> None:
    with pytest.raises(Her2Error, match=r"matches 'c\*'\. There are: a\.svs, ü\.svs"):
        pull(write_project(tmp_path), images=["c*"])
    assert not asked.calls


def test_pull_into_a_file_is_refused_before_qupath_starts(tmp_path: Path, asked: Recorder) -> None:
    (tmp_path / "her2").touch()
    with pytest.raises(OutputError, match="there is a file where a folder is needed"):
        pull(write_project(tmp_path))
    assert not asked.calls


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": [{}]}', '{"images": 3}'])
def test_a_damaged_project_file_says_where_the_former_is(tmp_path: Path, content: str) -> None:
    (tmp_path / "project.qpproj").write_text(content)
    with pytest.raises(ExchangeError, match=r"project\.qpproj\.backup"):
        open_project_file(tmp_path)


def test_no_project_and_two_are_said(tmp_path: Path) -> None:
    with pytest.raises(Her2Error, match="is no QuPath project"):
        open_project_file(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.qpproj").write_text("{}")
    with pytest.raises(Her2Error, match=r"a\.qpproj, b\.qpproj"):
        open_project_file(tmp_path)


def test_push_takes_the_images_with_results_and_room_for_their_cells(tmp_path: Path, asked: Recorder) -> None:
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


def test_push_of_what_is_there_already_starts_no_qupath(tmp_path: Path, asked: Recorder) -> None:
    project = write_project(tmp_path, run=run_key(HASHES["1"]))
    write_results(tmp_path / "her2", "1")
    assert push(project, only_new=True).images == ()
    assert not asked.calls
    asked.answer = {"images": [{"state": "pushed", "name": "a"}]}
    push(project)
    assert len(asked.calls) == 1


def test_push_without_results_says_the_way(tmp_path: Path, asked: Recorder) -> None:
    project = write_project(tmp_path)
    with pytest.raises(ExchangeError, match="never pulled"):
        push(project)
    write_results(tmp_path / "her2")
    with pytest.raises(ExchangeError, match="No image has a result"):
        push(project)


def test_push_leaves_a_project_alone_that_a_window_has_open(tmp_path: Path, asked: Recorder) -> None:
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


def test_counts_that_are_no_numbers_are_none() -> None:
    pushed = push_module.Pushed(Path(), SOME, ({"state": "pushed", "added": None},))
    assert pushed.total("added") == 0
    assert np.isfinite(pushed.total("edited"))
