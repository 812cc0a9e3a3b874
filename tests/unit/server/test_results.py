"""What the page reads of a finished run, against the files of the run."""

from __future__ import annotations

import csv
import io
from urllib.parse import quote
from uuid import UUID

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="NOT TESTED: pip install qupath-her2[serve]")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import CellTable, SlideScore
from qupath_her2.server.job_files import FindJob, JobFiles
from qupath_her2.server.problems import answer_problems
from qupath_her2.server.results import results_router

JOB = "/api/v1/jobs/done"


@pytest.fixture(scope="session")
def client(find_job: FindJob) -> TestClient:
    app = FastAPI()
    answer_problems(app)
    app.include_router(results_router(find_job))
    return TestClient(app)


@pytest.fixture(scope="session")
def stored(scored_files: JobFiles) -> tuple[CellTable, SlideScore]:
    assert scored_files.run_dir is not None
    _, cells, score = read_run(scored_files.run_dir)
    assert cells is not None
    return cells, score


def test_the_result_is_the_score_of_the_run(client: TestClient, stored: tuple[CellTable, SlideScore]) -> None:
    cells, score = stored
    result = client.get(f"{JOB}/result").json()
    assert (result["score"], result["reason"], result["n_cells"]) == ("3+", score.reason, score.n_cells)
    assert result["shares"] == {name: round(100 * share, 2) for name, share in score.shares.items()}
    assert set(result["intervals"]) == set(score.intervals)
    for name, (low, high) in result["intervals"].items():
        assert low <= result["shares"][name] <= high
    assert [entry["name"] for entry in result["classes"]] == list(cells.class_names)
    assert (result["width_px"], result["height_px"], result["pixel_size_um"]) == (420, 420, 0.5)
    assert [layer["id"] for layer in result["layers"]] == ["regions", "cells"]
    assert result["research_use_only"] is True


def test_cells_in_view_are_those_whose_centre_lies_in_it(
    client: TestClient, stored: tuple[CellTable, SlideScore]
) -> None:
    cells, _ = stored
    view = {"x": 100, "y": 50, "width": 150, "height": 200}
    found = client.get(f"{JOB}/cells", params=view).json()
    x, y = cells.centroid_xy.T
    inside = np.flatnonzero((x >= 100) & (x < 250) & (y >= 50) & (y < 250))
    assert found["total"] == len(inside) > 5
    assert [UUID(f["id"]).bytes for f in found["features"]] == [cells.uuid[row].tobytes() for row in inside]
    for feature, row in zip(found["features"], inside, strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert np.allclose(ring[:-1], cells.outline(row), atol=0.005)
        assert feature["properties"]["class"] == cells.class_names[cells.cell_class[row]]


def test_a_limit_keeps_the_cells_in_the_middle(client: TestClient) -> None:
    view = {"x": 0, "y": 0, "width": 420, "height": 420}
    every = client.get(f"{JOB}/cells", params=view).json()
    few = client.get(f"{JOB}/cells", params={**view, "limit": 7}).json()
    assert few["total"] == every["total"] == len(every["features"]) > 7

    def distance(feature: dict) -> float:
        return float(np.hypot(*(np.mean(feature["geometry"]["coordinates"][0][:-1], axis=0) - 210)))

    nearest = {f["id"] for f in sorted(every["features"], key=distance)[:12]}
    assert len(few["features"]) == 7
    assert {f["id"] for f in few["features"]} <= nearest


def test_a_cell_has_its_measurements(client: TestClient, stored: tuple[CellTable, SlideScore]) -> None:
    cells, _ = stored
    row = 11
    cell = client.get(f"{JOB}/cells/{UUID(bytes=cells.uuid[row].tobytes())}").json()
    values = [
        np.nan if cell["measurements"][name] is None else cell["measurements"][name]
        for name in cells.measurement_names
    ]
    assert np.allclose(values, cells.measurements[row], rtol=1e-6, equal_nan=True)
    assert (cell["x"], cell["y"]) == pytest.approx(tuple(cells.centroid_xy[row]), rel=1e-6)
    assert cell["region"] == f"Tumor {cells.region[row] + 1}"


def test_points_are_all_cells(client: TestClient, stored: tuple[CellTable, SlideScore]) -> None:
    cells, _ = stored
    points = client.get(f"{JOB}/cells/points").json()
    assert points["n_cells"] == len(cells)
    assert np.allclose(np.column_stack([points["x"], points["y"]]), cells.centroid_xy, atol=0.501)
    assert points["class"] == cells.cell_class.tolist()
    assert points["tumour_probability"] is None


def test_downloads_hold_all_cells(client: TestClient, stored: tuple[CellTable, SlideScore]) -> None:
    cells, _ = stored
    ids = {str(UUID(bytes=row.tobytes())) for row in cells.uuid}
    answer = client.get(f"{JOB}/cells.geojson")
    assert {feature["id"] for feature in answer.json()["features"]} == ids
    name = quote("Fall 7, stärker_cells.geojson", safe="")
    assert answer.headers["content-disposition"].endswith(f"filename*=UTF-8''{name}")
    rows = list(csv.DictReader(io.StringIO(client.get(f"{JOB}/cells.csv").content.decode("utf-8-sig"))))
    assert {row["cell id"] for row in rows} == ids
    regions = client.get(f"{JOB}/regions.geojson").json()
    assert all("HER2: H-score" in f["properties"]["measurements"] for f in regions["features"])


def test_the_report_is_written_when_it_is_asked_for(client: TestClient, scored_files: JobFiles) -> None:
    assert scored_files.run_dir is not None
    report = scored_files.run_dir.parents[2] / "report.html"
    report.unlink(missing_ok=True)
    answer = client.get(f"{JOB}/report.html")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.content == report.read_bytes()
    assert client.get(f"{JOB}/report.html").content == answer.content


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("none/result", 404, "no job 'none'"),
        ("waiting/result", 409, "no result yet"),
        ("waiting/cells.csv", 409, "no result yet"),
        (f"done/cells/{UUID(int=7)}", 404, "no cell"),
        ("done/layers/run.json", 404, "no layer 'run.json'"),
        ("done/layers/..%2Frun.json", 404, ""),
    ],
)
def test_what_is_not_there_is_said(client: TestClient, path: str, status: int, says: str) -> None:
    answer = client.get(f"/api/v1/jobs/{path}")
    assert answer.status_code == status
    assert says in answer.text


@pytest.mark.parametrize(
    "view",
    [
        {"x": 0, "y": 0, "width": 0, "height": 5},
        {"x": "nan", "y": 0, "width": 5, "height": 5},
        {"x": 0, "y": 0, "width": 5, "height": 5, "limit": 10**9},
        {"x": 0, "y": 0},
    ],
)
def test_a_view_that_is_none_is_refused(client: TestClient, view: dict[str, object]) -> None:
    assert client.get(f"{JOB}/cells", params=view).status_code == 422
