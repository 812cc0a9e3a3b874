"""A disk that fills: a real one of 2 MB, where the system lets a test mount it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qupath_her2.server.settings import ServiceSettings
from tests.unit.server.conftest import Caller, call


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    if not sys.platform.startswith("linux") or shutil.which("mount") is None:
        pytest.skip("NOT TESTED: small disks are mounted on Linux")
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: this account may not mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


@pytest.fixture
def caller(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    for name in ("start", "stop"):
        monkeypatch.setattr(f"qupath_her2.server.runner.JobRunner.{name}", lambda runner: None)
    monkeypatch.setattr("qupath_her2.server.service.Service.look_at", lambda *arguments: None)
    yield from call(ServiceSettings(small_disk, max_upload_gb=0.1))


def test_an_upload_that_fills_the_disk_is_refused_and_removed(caller: Caller) -> None:
    answer = caller.http.post("/api/v1/jobs", files={"slide": ("a.png", bytes(5_000_000))})
    assert answer.status_code == 507
    assert answer.json() == {"error": "The disk of the service is full.", "advice": "Delete ended jobs."}
    assert list(caller.service.uploads.glob("*")) == []
    assert caller.http.get("/api/v1/jobs").json() == []
    # The advice: there is room again.
    assert caller.http.post("/api/v1/jobs", files={"slide": ("a.png", bytes(500_000))}).status_code == 201


def test_a_queue_that_cannot_be_written_takes_no_job(caller: Caller, small_disk: Path) -> None:
    fill(small_disk / "ballast")
    codes = {caller.http.post("/api/v1/jobs", files={"slide": ("a.png", b"x")}).status_code for _ in range(3)}
    assert codes == {507}
    (small_disk / "ballast").unlink()
    assert caller.http.post("/api/v1/jobs", files={"slide": ("a.png", b"x")}).status_code == 201
    assert len(caller.http.get("/api/v1/jobs").json()) == 1
