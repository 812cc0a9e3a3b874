from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qupath_her2.records import ImageResult
from qupath_her2.server.job_store import JobStore, StoredJob
from qupath_her2.server.runner import JobRunner
from qupath_her2.server.slide_job import SlideJob
from qupath_her2.synthetic.example_project import write_field

WAIT_S = 120


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A field that takes some seconds."""
    folder = tmp_path_factory.mktemp("large")
    write_field(folder, "large", score="2+", seed=9, side_px=900, stroma=0.1, out_of_focus=0.0)
    return folder


class Queue:
    """A store with a runner of one worker, and one job."""

    def __init__(self, folder: Path, slides: Path, idle_s: float = 60.0) -> None:
        self.store = JobStore(folder / "jobs.sqlite")
        self.out = folder / "her2"
        self.runner = JobRunner(self.store, self._job, idle_s=idle_s)
        self.job = self.store.add(
            name="large.ome.tif",
            verb="score",
            options={"pixel_size_um": 0.25},
            slide=slides / "large.ome.tif",
            regions=slides / "large.geojson",
        )

    def _job(self, job: StoredJob) -> SlideJob:
        return SlideJob(job.name, Path(job.slide), Path(job.regions or ""), self.out, job.options)

    def state(self, identity: str | None = None) -> str:
        found = self.store.get(identity or self.job.id)
        assert found is not None
        return found.state

    def is_working(self) -> bool:
        return self.state() == "running" and len(self.runner.pids()) == 1

    def n_runs(self) -> int:
        return len(list(self.out.glob("results/*/*/run.json")))


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < end, "too late"
        time.sleep(0.05)


def test_a_cancel_ends_the_work_and_the_worker_stays_for_the_next(tmp_path: Path, large: Path) -> None:
    queue = Queue(tmp_path, large)
    queue.runner.start()
    try:
        until(queue.is_working)
        queue.runner.cancel(queue.job.id)
        until(lambda: queue.state() == "cancelled")
        assert queue.n_runs() == 0
        assert not list(queue.out.rglob("*.tmp"))
    finally:
        queue.runner.stop()
    assert queue.runner.pids() == []


@pytest.mark.slow
def test_a_cancel_that_meets_the_end_of_a_job_leaves_it_done(
    tmp_path: Path, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(tmp_path, large)
    end = queue.store.end

    def end_late(identity: str, *what: Any, **more: Any) -> None:
        queue.runner.cancel(identity)
        end(identity, *what, **more)

    monkeypatch.setattr(queue.store, "end", end_late)
    queue.runner.start()
    try:
        until(lambda: queue.state() == "done")
        again = queue.store.add(
            name=queue.job.name,
            verb="score",
            options={"pixel_size_um": 0.3},
            slide=large / "large.ome.tif",
            regions=large / "large.geojson",
        )
        queue.runner.wake()
        # The next job has nothing of it.
        until(lambda: queue.state(again.id) not in ("waiting", "running"))
        assert queue.state(again.id) == "done"
    finally:
        queue.runner.stop()
    assert (queue.state(), queue.n_runs() >= 1) == ("done", True)


def test_a_cancelled_job_that_another_process_holds_does_not_wait_again(tmp_path: Path, large: Path) -> None:
    queue = Queue(tmp_path, large)
    job = queue.store.take()
    assert job is not None
    queue.runner.cancel(job.id)
    queue.runner._end(job, ImageResult(job.id, job.name, "failed", error="held", failure="busy"))
    assert queue.state() == "cancelled"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_a_killed_worker_is_replaced_and_its_job_done(tmp_path: Path, large: Path) -> None:
    queue = Queue(tmp_path, large, idle_s=0.5)
    queue.runner.start()
    try:
        until(queue.is_working)
        (killed,) = queue.runner.pids()
        os.kill(killed, signal.SIGKILL)
        until(lambda: queue.state() == "done")
        assert queue.n_runs() == 1
        # Without work the process ends, and with it the memory of what it had loaded.
        until(lambda: queue.runner.pids() == [])
    finally:
        queue.runner.stop()


@pytest.mark.slow
def test_a_stop_in_order_lets_the_job_wait_for_the_next_start(tmp_path: Path, large: Path) -> None:
    queue = Queue(tmp_path, large)
    queue.runner.start()
    until(queue.is_working)
    queue.runner.stop()
    assert queue.state() == "waiting"
    again = JobRunner(queue.store, queue._job)
    again.start()
    until(lambda: queue.state() == "done")
    again.stop()
    assert queue.n_runs() == 1
