"""A scored slide shared by the tests of the service's routes."""

from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.server.job_files import FindJob, JobFiles


@pytest.fixture(scope="session")
def scored_files(_drawn_once: Path, tmp_path_factory: pytest.TempPathFactory) -> JobFiles:
    """The files of a job that scored a drawn 3+ field; not to be changed."""
    from qupath_her2.batch.local import run_jobs
    from qupath_her2.project.exchange.runs import current_run
    from qupath_her2.runs.options import RunOptions
    from qupath_her2.runs.plan import plan_jobs

    out = tmp_path_factory.mktemp("service") / "her2"
    run_jobs(plan_jobs(_drawn_once, options=RunOptions(images=("strong*",), out=out)).jobs)
    image = next((out / "results").iterdir()).name
    return JobFiles("Fall 7, stärker.ome.tif", _drawn_once / "strong.ome.tif", current_run(out, image))


@pytest.fixture(scope="session")
def find_job(scored_files: JobFiles) -> FindJob:
    """Finds the jobs ``done``, which scored a slide, and ``waiting``."""
    from qupath_her2.server.problems import Problem

    waiting = JobFiles(scored_files.name, scored_files.slide)

    def find(job_id: str) -> JobFiles:
        if job_id not in ("done", "waiting"):
            raise Problem(404, f"There is no job {job_id!r}.")
        return scored_files if job_id == "done" else waiting

    return find
