from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qupath_her2.batch.job import at_half_load, image_file, perform
from qupath_her2.runs.plan import plan_jobs


def test_half_the_load_gives_the_same_result(project: Path) -> None:
    (job, _) = plan_jobs(project).jobs
    half = at_half_load(job)
    assert half.settings.predict.batch_size == job.settings.predict.batch_size // 2
    one = replace(job, settings=replace(job.settings, predict=replace(job.settings.predict, batch_size=1)))
    assert at_half_load(one).settings.predict.batch_size == 1
    assert image_file(job) == job.ref.path
    assert perform(job).state == "scored"
    # The load is no part of the input hash.
    assert perform(half).state == "up to date"


def test_what_is_no_job_is_refused() -> None:
    with pytest.raises(TypeError, match="no job"):
        perform("a job")  # type: ignore[arg-type]
    assert image_file("a job") is None  # type: ignore[arg-type]
