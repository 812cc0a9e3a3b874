"""Cells of a view, points and single cells, on tables whose content is known."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np
import orjson
import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.provenance import object_uuids
from qupath_her2.records import NOT_MEASURED, TUMOUR_PROBABILITY, Box, CellTable
from qupath_her2.server.job_files import JobFiles
from qupath_her2.server.stored_cells import StoredRuns, cell_features, cell_points, find_cell


def grid_of_squares(side: int, probability: list[float] | None = None) -> CellTable:
    """Squares of 4 px around (10 i, 10 j), of the four classes in turn, the last one not measured."""
    n = side * side
    centres = np.array([(10 * i, 10 * j) for j in range(side) for i in range(side)], np.float32)
    square = np.array([(-2, -2), (2, -2), (2, 2), (-2, 2)], np.float32)
    codes = (np.arange(n) % 4).astype(np.uint8)
    codes[-1] = NOT_MEASURED
    values = np.zeros((n, 0)) if probability is None else np.resize(np.array(probability), (n, 1))
    return CellTable(
        uuid=object_uuids("7b" * 32, n),
        centroid_xy=centres,
        cell_xy=(centres[:, None] + square).reshape(-1, 2),
        cell_offsets=np.arange(n + 1, dtype=np.int64) * 4,
        nucleus_xy=np.zeros((0, 2), np.float32),
        nucleus_offsets=np.zeros(n + 1, np.int64),
        region=np.zeros(n, np.int32),
        measurements=values.astype(np.float32),
        measurement_names=() if probability is None else (TUMOUR_PROBABILITY,),
        cell_class=codes,
    )


def test_a_view_holds_cells_by_their_centres_and_its_far_edges_are_outside() -> None:
    found = cell_features(grid_of_squares(4), Box(10, 0, 20, 11), 100)
    centres = [np.mean(f["geometry"]["coordinates"][0][:-1], axis=0).tolist() for f in found["features"]]
    assert centres == [[10, 0], [20, 0], [10, 10], [20, 10]]
    assert found["total"] == 4
    assert [f["properties"]["class"] for f in found["features"]] == [
        "Tumor: 1+", "Tumor: 2+", "Tumor: 1+", "Tumor: 2+",
    ]  # fmt: skip


def test_what_is_not_measured_has_no_class_and_no_probability() -> None:
    found = cell_features(grid_of_squares(2, [0.25, np.nan]), Box(0, 0, 20, 20), 100)["features"]
    assert found[-1]["properties"] == {"class": None, "tumour_probability": None}
    assert found[0]["properties"]["tumour_probability"] == 0.25


def test_a_cell_without_an_outline_is_counted_and_not_drawn() -> None:
    table = grid_of_squares(2)
    table.cell_offsets[1:] -= 4
    found = cell_features(table, Box(0, 0, 20, 20), 100)
    assert (found["total"], len(found["features"])) == (4, 3)


def test_points_of_very_many_cells_are_a_sample_that_stays_the_same() -> None:
    table = grid_of_squares(5, [0.126, np.nan])
    points = cell_points(table, most=9)
    assert (points["n_cells"], len(points["x"])) == (25, 9)
    rows = (points["x"] + 5 * points["y"]) // 10
    assert len(set(rows.tolist())) == 9
    codes = np.where(table.cell_class[rows] == NOT_MEASURED, -1, table.cell_class[rows].astype(int))
    assert points["class"].tolist() == codes.tolist()
    assert points["tumour_probability"].tolist() == [13 if row % 2 == 0 else -1 for row in rows]
    assert cell_points(table, most=9)["x"].tolist() == points["x"].tolist()
    every = cell_points(table)
    assert np.column_stack([every["x"], every["y"]]).tolist() == table.centroid_xy.tolist()
    assert every["class"].tolist()[-1] == -1
    orjson.dumps(points, option=orjson.OPT_SERIALIZE_NUMPY)


def test_a_cell_is_found_by_its_id() -> None:
    table = grid_of_squares(3)
    assert find_cell(table, UUID(bytes=table.uuid[5].tobytes())) == 5
    assert find_cell(table, UUID(int=1)) is None


def test_runs_are_kept_within_their_bytes(scored_files: JobFiles) -> None:
    run_dir = scored_files.run_dir
    assert run_dir is not None
    other = run_dir.parent / "." / ".." / run_dir.parent.name / run_dir.name
    kept = StoredRuns(most_bytes=1)
    first = kept.read(run_dir)
    assert kept.read(run_dir) is first
    # Another path to the same run counts as another run, and pushes the first out.
    assert kept.read(other) is not first
    assert kept.read(run_dir) is not first
    roomy = StoredRuns()
    first = roomy.read(run_dir)
    roomy.read(other)
    assert roomy.read(run_dir) is first
    roomy.forget(run_dir)
    assert roomy.read(run_dir) is not first


def test_a_run_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="not a finished run"):
        StoredRuns().read(tmp_path / "results" / "a" / "0123456789a")
