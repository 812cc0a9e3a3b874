from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.batch import executor as executors
from qupath_her2.batch.executor import DoneElsewhere, LocalExecutor, Shard
from qupath_her2.batch.job import JobEvent
from qupath_her2.batch.journal import Journal, read_events
from qupath_her2.batch.plan import BatchPlan
from qupath_her2.batch.progress import progress_of
from qupath_her2.batch.run_batch import plan_batch
from qupath_her2.config import Settings
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.records import ImageResult
from qupath_her2.runs.options import RunOptions
from tests.unit.batch.test_drive import SimulatedJob, ignore, jobs
from tests.unit.batch.test_progress import plan_of


def names(found: list[SimulatedJob]) -> str:
    return "".join(job.image for job in found)


def test_shards_divide_the_batch_and_then_help_each_other() -> None:
    everything = jobs("abcdefg")
    # Longest first: each shard has long and short ones.
    assert names(Shard(1, 3).order(everything, everything)) == "adg" + "fecb"
    assert names(Shard(3, 3).order(everything, everything)) == "cf" + "gedba"
    # What is done stays out, and whose an image is does not change with it.
    assert names(Shard(1, 3).order(jobs("cdg"), everything)) == "dg" + "c"


def test_what_others_ended_is_seen_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A look so dear that the next is far off.
    monkeypatch.setattr(executors, "_LOOK_SHARE", 1e9)
    plan = plan_of(tmp_path)
    done = DoneElsewhere(plan)
    a = SimulatedJob("a")
    assert not done(a)
    result = ImageResult("a", "a.tif", "scored")
    Journal(tmp_path, plan.keys, "other").ended(JobEvent("finished", "a", "a.tif", result=result), None)
    # Not asked again at once.
    assert not done(a)
    monkeypatch.setattr(executors, "_LOOK_SHARE", 0.0)
    done._next_look = 0.0
    assert done(a)


def test_a_shard_leaves_what_another_worker_holds(project: Path) -> None:
    plan: BatchPlan = plan_batch(project, RunOptions(), Settings())
    held, other = plan.jobs
    with lock_image(plan.out, held.image):
        assert LocalExecutor(shard=Shard(1, 2)).run(plan, plan.jobs, listen=ignore)
    outcomes = progress_of(plan).outcomes
    assert (outcomes[held.image].state, outcomes[other.image].state) == ("", "scored")
    assert next(read_events(plan.out))["executor"] == "shard 1/2"
    assert LocalExecutor().name == "local"
    assert LocalExecutor().run(plan, [], listen=ignore)
