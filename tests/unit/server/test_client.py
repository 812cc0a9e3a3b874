"""``service=``: the functions of the package by a running service, against the same functions here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import qupath_her2 as qh
from qupath_her2.errors import ServiceError
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.server.client import TOKEN_VARIABLE, ServiceClient, called_service
from qupath_her2.server.discovery import STATE_VARIABLE, RunningService
from tests.unit.server.test_serve import start

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shell of the examples is POSIX")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RunningService]]:
    """A service of this file, and its state folder."""
    state = tmp_path_factory.mktemp("state")
    process, service = start(state)
    with process:
        yield state, service
        process.kill()


@pytest.fixture
def own(running: tuple[Path, RunningService], monkeypatch: pytest.MonkeyPatch) -> RunningService:
    """The same as this user's own."""
    monkeypatch.setenv(STATE_VARIABLE, str(running[0]))
    return running[1]


@pytest.mark.slow
def test_a_folder_is_scored_as_here(own: RunningService, project: Path, tmp_path: Path) -> None:
    # A service sees one slide at a time, and knows no group whose stain vectors that slide would share.
    (project / "pale.ome.tif").unlink()
    (project / "pale.geojson").unlink()
    here = qh.run(project, out=tmp_path / "here")
    there = qh.run(project, out=tmp_path / "there", service=True)
    assert [result.name for result in there] == [result.name for result in here]
    for by_service, local in zip(there, here, strict=True):
        assert by_service.run_dir is not None
        assert local.run_dir is not None
        (_, cells, score), (_, own_cells, own_score) = read_run(by_service.run_dir), read_run(local.run_dir)
        assert cells is not None
        assert own_cells is not None
        assert (score.score, score.reason, score.shares) == (
            own_score.score,
            own_score.reason,
            own_score.shares,
        )
        assert cells.uuid.tolist() == own_cells.uuid.tolist()
        assert cells.measurements.tobytes() == own_cells.measurements.tobytes()
    assert (tmp_path / "there" / "summary.csv").read_bytes() == (
        tmp_path / "here" / "summary.csv"
    ).read_bytes()
    with ServiceClient() as client:
        assert client._call("GET", "/api/v1/jobs").json() == []


@pytest.mark.slow
def test_regions_are_proposed_as_here(own: RunningService, project: Path, tmp_path: Path) -> None:
    (project / "pale.ome.tif").unlink()
    for left in project.glob("*.geojson"):
        left.unlink()
    (here,) = qh.propose(project, out=tmp_path / "here")
    (there,) = qh.propose(project, out=tmp_path / "there", service=True)
    assert here.state == there.state == "proposed"
    assert here.run_dir is not None
    assert there.run_dir is not None
    # Where QuPath looks for them, and never among the scores.
    assert there.run_dir.relative_to(tmp_path / "there") == here.run_dir.relative_to(tmp_path / "here")
    assert there.run_dir.parts[-4] == "proposals"
    regions = [json.loads((one.run_dir / "regions.geojson").read_bytes()) for one in (here, there)]
    assert len(regions[0]["features"]) > 0
    assert regions[0] == regions[1]


def test_what_a_service_does_not_take_is_said(own: RunningService, project: Path) -> None:
    with pytest.raises(ServiceError, match="does not take force"):
        qh.run(project, service=True, force=True)
    with pytest.raises(ServiceError, match="settings of its own"):
        qh.run(project, service=True, settings=qh.load_settings())
    with pytest.raises(ServiceError, match="lung"):
        qh.run(project, service=True, guideline="lung")


def test_no_service_is_said_and_the_token_is_asked_for(
    running: tuple[Path, RunningService], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, service = running
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(ServiceError, match="qupath-her2 serve"):
        called_service(True)
    with pytest.raises(ServiceError, match=TOKEN_VARIABLE):
        called_service(service.url)
    monkeypatch.setenv(TOKEN_VARIABLE, service.token)
    assert called_service(f"{service.url}/") == service
    with pytest.raises(ServiceError, match="No service answers"):
        called_service("http://127.0.0.1:9")
    monkeypatch.setenv(TOKEN_VARIABLE, "wrong")
    with ServiceClient(service.url) as client, pytest.raises(ServiceError, match="token is missing or wrong"):
        client.job("x")


def test_a_service_that_went_away_is_said() -> None:
    gone = RunningService("http://127.0.0.1:9", "token", 1, "1")
    with ServiceClient(gone) as client, pytest.raises(ServiceError, match="does not answer"):
        client.job("x")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="NOT TESTED: no curl")
def test_the_readmes_curl_examples_run(own: RunningService, tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## Service") :]
    (examples,) = (block for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL) if "curl" in block)
    (tmp_path / "example_projects").symlink_to(ROOT / "example_projects")
    (tmp_path / "python").symlink_to(sys.executable)
    shell = f'set -eu\nPATH="{tmp_path}:$PATH"\n{examples}'
    done = subprocess.run(
        ["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"state":"done"' in done.stdout
    assert json.loads((tmp_path / "result.json").read_text())["score"] == "3+"
    assert len(json.loads((tmp_path / "cells.geojson").read_text())["features"]) > 400
    field = json.loads((tmp_path / "field.json").read_text())
    assert len(field["cells"]["features"]) == field["n_cells"] > 50
