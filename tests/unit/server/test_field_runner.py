from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from qupath_her2.server import field_runner
from qupath_her2.server.field_job import FieldJob, WarmUp
from qupath_her2.server.field_runner import FieldRunner
from qupath_her2.server.problems import Problem
from qupath_her2.server.slide_job import SlideJob

UUID = "0f4df1a6-7b54-4a3b-9a86-0d6f2c1c7b11"


def field(slides: Path, out: Path) -> FieldJob:
    ring = [[60, 40], [360, 40], [360, 360], [60, 360], [60, 40]]
    slide = SlideJob("strong.ome.tif", slides / "strong.ome.tif", None, out)
    return FieldJob(slide, {"type": "Polygon", "coordinates": [ring]}, UUID)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_a_killed_process_is_replaced_and_an_idle_one_ends(slides: Path, tmp_path: Path) -> None:
    runner = FieldRunner(idle_s=0.5)
    try:
        assert runner.perform(field(slides, tmp_path / "a")).state == "scored"
        (pid,) = runner.pids()
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        assert runner.perform(field(slides, tmp_path / "b")).state == "scored"
        assert pid not in runner.pids()
        end = time.monotonic() + 30
        while runner.pids():
            assert time.monotonic() < end, "the process stays"
            time.sleep(0.05)
    finally:
        runner.stop()


def test_a_field_without_end_is_given_up(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FieldRunner()
    monkeypatch.setattr(field_runner, "_MOST_S", 0.0)
    try:
        with pytest.raises(Problem) as caught:
            runner.perform(field(slides, tmp_path / "a"))
        assert caught.value.status == 504
        monkeypatch.setattr(field_runner, "_MOST_S", 120.0)
        assert runner.perform(field(slides, tmp_path / "b")).state == "scored"
    finally:
        runner.stop()


@pytest.mark.slow
def test_too_many_callers_are_told_to_come_again(slides: Path, tmp_path: Path) -> None:
    runner = FieldRunner()
    runner._turn.acquire()
    waiting = [
        threading.Thread(target=lambda n=n: runner.perform(field(slides, tmp_path / str(n))), daemon=True)
        for n in range(field_runner._MOST_WAITING)
    ]
    for one in waiting:
        one.start()
    time.sleep(0.3)
    with pytest.raises(Problem) as caught:
        runner.perform(field(slides, tmp_path / "x"))
    assert caught.value.status == 429
    assert "Retry-After" in caught.value.headers
    runner._turn.release()
    for one in waiting:
        one.join(120)
    runner.stop()


@pytest.mark.slow
def test_a_warm_up_leaves_a_process_that_scores_at_once(slides: Path, tmp_path: Path) -> None:
    runner = FieldRunner()
    folder = tmp_path / "warm"
    folder.mkdir()
    try:
        assert runner.perform(WarmUp(folder)).n_cells > 0
        pids = runner.pids()
        assert runner.perform(field(slides, tmp_path / "a")).state == "scored"
        assert runner.pids() == pids
    finally:
        runner.stop()
