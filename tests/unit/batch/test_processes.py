from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from qupath_her2.batch.job import JobEvent
from qupath_her2.batch.processes import ProcessCrew
from qupath_her2.runs.plan import plan_jobs

WAIT_S = 120

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")


def until(crew: ProcessCrew, kind: str, seen: list[JobEvent]) -> JobEvent:
    """Wait for the first event of a kind; `seen` gathers all."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        for event in crew.wait(0.1):
            seen.append(event)
            if event.kind == kind:
                return event
    raise AssertionError(f"no {kind}: {seen}")


def test_a_killed_worker_costs_its_own_image_and_is_replaced(project: Path) -> None:
    pale, strong = plan_jobs(project).jobs
    crew, seen = ProcessCrew(2), []
    try:
        crew.give(pale)
        crew.give(strong)
        until(crew, "tiles", seen)
        killed, other = crew.pids()
        os.kill(killed, signal.SIGKILL)
        ends = [until(crew, "finished", seen) for _ in range(2)]
        # The last tile may have been its end.
        by_failure = {event.result.failure: event.result for event in ends if event.result is not None}
        assert set(by_failure) == {"killed", ""}
        assert "SIGKILL" in (by_failure["killed"].error or "")
        assert by_failure[""].state == "scored"
        assert crew.pids() == [other]
        crew.give(pale if by_failure["killed"].image == pale.image else strong)
        again = until(crew, "finished", seen)
        assert again.result is not None
        assert again.result.state == "scored"
        assert again.peak_mb >= again.rss_mb > 50
    finally:
        crew.close()
    assert not list((project / "her2" / "results").glob("*.lock"))


def test_a_worker_killed_while_idle_is_replaced(project: Path) -> None:
    pale, strong = plan_jobs(project).jobs
    crew, seen = ProcessCrew(1), []
    try:
        crew.give(pale)
        assert until(crew, "finished", seen).result is not None
        (idle,) = crew.pids()
        os.kill(idle, signal.SIGKILL)
        time.sleep(0.3)
        crew.give(strong)
        end = until(crew, "finished", seen)
        assert end.result is not None
        assert (end.name, end.result.state) == ("strong.ome.tif", "scored")
        assert crew.pids() != [idle]
    finally:
        crew.close()


def test_a_worker_is_bound_to_its_share_of_the_memory(project: Path) -> None:
    (pale, strong) = plan_jobs(project).jobs
    # Less than the interpreter and its libraries hold: whatever is allocated next fails.
    crew, seen = ProcessCrew(4, memory_gb=0.4), []
    try:
        crew.give(pale)
        end = until(crew, "finished", seen)
        assert end.result is not None
        assert end.result.failure in ("memory", "killed", "unexpected")
        # Alone it may take all that the four have.
        crew = ProcessCrew(4, memory_gb=8)
        crew.give(strong, alone=True)
        end = until(crew, "finished", seen)
        assert end.result is not None
        assert end.result.state == "scored"
        assert len(crew.pids()) == 1
    finally:
        crew.close()


def test_a_large_worker_retires_after_its_image(project: Path) -> None:
    (pale, _) = plan_jobs(project).jobs
    crew, seen = ProcessCrew(64, memory_gb=16), []
    try:
        crew.give(pale, alone=True)
        until(crew, "finished", seen)
        assert crew.pids() == []
    finally:
        crew.close()


def test_dropped_images_leave_nothing(project: Path) -> None:
    (_, strong) = plan_jobs(project).jobs
    crew, seen = ProcessCrew(1), []
    try:
        crew.give(strong)
        crew.drop()
        until(crew, "dropped", seen)
    finally:
        crew.close()
    assert not [path.name for path in (project / "her2" / "results").rglob("*")]


def test_a_worker_whose_driver_is_gone_drops_its_image(project: Path) -> None:
    (_, strong) = plan_jobs(project).jobs
    crew, seen = ProcessCrew(1), []
    crew.give(strong)
    until(crew, "started", seen)
    (worker,) = crew._workers
    # The end of a driver closes its end of the pipe.
    worker.pipe.close()
    worker.process.join(WAIT_S)
    assert worker.process.exitcode == 0
    assert not list((project / "her2" / "results").glob("*.lock"))


def test_a_traceback_that_was_asked_for_is_shown(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    (pale, _) = plan_jobs(project).jobs
    gone = replace(
        pale, ref=replace(pale.ref, path=project / "gone.tif"), options=replace(pale.options, debug=True)
    )
    crew, seen = ProcessCrew(1), []
    try:
        crew.give(gone)
        end = until(crew, "finished", seen)
    finally:
        crew.close()
    assert end.result is not None
    assert (end.result.state, end.result.failure) == ("failed", "unexpected")
    assert "exit code 1" in (end.result.error or "")
    assert "Traceback" in capfd.readouterr().err
