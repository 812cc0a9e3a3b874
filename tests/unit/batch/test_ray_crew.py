"""Ray actors; the run on a cluster that loses a node is in tests/integration/test_batch_ray.py."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from qupath_her2.batch.ray_crew import RayCrew, RayExecutor, Scorer, _Actor
from qupath_her2.errors import MissingExtraError
from qupath_her2.runs.plan import plan_jobs
from tests.unit.batch.test_drive import ignore, jobs
from tests.unit.batch.test_progress import plan_of


def test_what_an_actor_runs_scores_and_drops(project: Path) -> None:
    pale, strong = plan_jobs(project).jobs
    scorer = Scorer()
    assert scorer.ready()
    end = scorer.work(pale, 1, strong.ref.path)
    assert end.result is not None
    assert (end.kind, end.result.state) == ("finished", "scored")
    assert end.peak_mb >= end.rss_mb > 50 or sys.platform != "linux"
    scorer.drop()
    assert scorer.work(strong, 1, None).kind == "dropped"
    assert not list((project / "her2" / "results").glob(f"{strong.image}*"))


def test_without_ray_the_pip_line_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"qupath-her2\[ray\]\""):
        RayExecutor(2).run(plan_of(tmp_path), jobs("a"), listen=ignore)


def test_idle_actors_wait_for_images_that_others_hold() -> None:
    pytest.importorskip("ray")
    crew = RayCrew(actors=1, _live=[_Actor(handle=None, ready=None)])
    before = time.monotonic()
    assert crew.wait(0.2) == []
    assert time.monotonic() - before >= 0.2
