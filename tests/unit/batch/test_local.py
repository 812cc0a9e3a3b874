from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qupath_her2.batch.job import JobEvent
from qupath_her2.batch.local import run_jobs
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs


def test_results_come_in_the_order_of_the_jobs_with_events(project: Path) -> None:
    jobs = plan_jobs(project).jobs[::-1]
    events: list[JobEvent] = []
    results = run_jobs(jobs, listen=events.append)
    assert [result.name for result in results] == ["strong.ome.tif", "pale.ome.tif"]
    assert [e.name for e in events if e.kind == "started"] == ["strong.ome.tif", "pale.ome.tif"]
    assert [e.result for e in events if e.kind == "finished"] == results
    tiles = [e for e in events if e.kind == "tiles" and e.name == "strong.ome.tif"]
    assert tiles[-1].done_tiles == tiles[-1].total_tiles > 0
    assert tiles[-1].n_cells > 0


def test_worker_processes_give_the_same_bytes(project: Path, tmp_path: Path) -> None:
    one = run_jobs(plan_jobs(project, RunOptions(out=tmp_path / "one")).jobs)
    events: list[JobEvent] = []
    two = run_jobs(plan_jobs(project, RunOptions(out=tmp_path / "two")).jobs, workers=3, listen=events.append)
    assert [result.state for result in two] == ["scored", "scored"]
    assert sorted(e.name for e in events if e.kind == "finished") == ["pale.ome.tif", "strong.ome.tif"]
    assert any(e.kind == "tiles" for e in events)
    for a, b in zip(one, two, strict=True):
        assert a.run_dir is not None
        assert b.run_dir is not None
        for name in ("cells.npz", "score.json", "regions.geojson", "overlay.jpg"):
            assert (a.run_dir / name).read_bytes() == (b.run_dir / name).read_bytes()


def test_one_bad_image_does_not_affect_the_others(project: Path) -> None:
    jobs = plan_jobs(project).jobs
    gone = replace(jobs[0], ref=replace(jobs[0].ref, path=project / "gone.tif"))
    assert [result.state for result in run_jobs([gone, jobs[1]])] == ["failed", "scored"]


def test_cancelling_from_the_listener_stops_the_workers_and_leaves_nothing_half_done(project: Path) -> None:
    jobs = plan_jobs(project).jobs

    def stop(event: JobEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, workers=2, listen=stop)
    left = [path.name for path in (project / "her2" / "results").rglob("*")]
    assert not [name for name in left if name.endswith((".tmp", ".lock"))]
    assert [result.state in ("scored", "up to date") for result in run_jobs(jobs)] == [True, True]


def test_no_job_is_no_result() -> None:
    assert run_jobs([]) == []
