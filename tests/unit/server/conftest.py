"""A scored slide shared by the tests of the service's routes, and services to call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="NOT TESTED: pip install qupath-her2[serve]")

from fastapi.testclient import TestClient

from qupath_her2.server.app import create_app
from qupath_her2.server.job_files import FindJob, JobFiles
from qupath_her2.server.service import Service
from qupath_her2.server.settings import ServiceSettings

TOKEN = "a token of the tests"
PORT = 8123
WAIT_S = 180


class Caller:
    """A client with the token, and the service that it calls."""

    def __init__(self, service: Service, http: TestClient) -> None:
        self.service, self.http = service, http

    def post_slide(self, slide: Path, regions: Path | None = None, **form: str) -> Any:
        files: list[Any] = [("slide", (slide.name, slide.read_bytes()))]
        if regions is not None:
            files.append(("regions", (regions.name, regions.read_bytes())))
        return self.http.post("/api/v1/jobs", files=files, data=form)

    def until_ended(self, job: str) -> dict[str, Any]:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            found: dict[str, Any] = self.http.get(f"/api/v1/jobs/{job}").json()
            if found["state"] not in ("waiting", "running"):
                return found
            time.sleep(0.1)
        raise AssertionError(f"not ended: {found}")


def call(settings: ServiceSettings) -> Iterator[Caller]:
    """Start a service in this process and yield its caller."""
    service = Service(settings, TOKEN)
    with TestClient(
        create_app(service, PORT),
        base_url=f"http://127.0.0.1:{PORT}",
        headers={"Authorization": f"Bearer {TOKEN}"},
        raise_server_exceptions=False,
    ) as http:
        yield Caller(service, http)


@pytest.fixture(scope="session")
def slides(_drawn_once: Path) -> Path:
    """A folder with ``pale.ome.tif`` and ``strong.ome.tif`` and their regions, for all tests."""
    return _drawn_once


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory, slides: Path) -> Iterator[Caller]:
    """A service that runs for the tests of a file; `slides` may be named by their path."""
    state = tmp_path_factory.mktemp("state")
    yield from call(ServiceSettings(state, roots=(slides,), max_upload_gb=0.01))


@pytest.fixture
def idle_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    """A service of one test that accepts jobs of any content and does none."""
    monkeypatch.setattr("qupath_her2.server.runner.JobRunner.start", lambda runner: None)
    monkeypatch.setattr("qupath_her2.server.runner.JobRunner.stop", lambda runner: None)
    monkeypatch.setattr("qupath_her2.server.runner.JobRunner.is_alive", lambda runner: True)
    monkeypatch.setattr("qupath_her2.server.service.Service.look_at", lambda *arguments: None)
    yield from call(ServiceSettings(tmp_path / "state", max_waiting=2, max_upload_gb=0.01))


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
