"""The table of cells: every number reads back, in whatever pieces it was written."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from qupath_her2.records import NOT_MEASURED, CellTable
from qupath_her2.report import cell_csv
from qupath_her2.report.cell_csv import CELL_COLUMNS, cells_csv


@pytest.fixture
def table(disc_table: Callable[..., CellTable]) -> CellTable:
    made = disc_table([(10.25, 20), (30, 40.125), (50, 60)], [0, 3, NOT_MEASURED])
    values = np.array([[1 / 3, np.nan], [-1e-9, 2.0], [np.nan, 1e9]], np.float32)
    return replace(made, measurements=values, measurement_names=("HER2: a", "HER2: b, µm"))


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_numbers_read_back_and_missing_ones_are_empty(
    table: CellTable, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(cell_csv, "_CELLS_AT_ONCE", at_once)
    data = b"".join(cells_csv(table, ["=Tumor; 1"]))
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\xef\xbb\xbf") == 1
    header, *rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    assert header == [*CELL_COLUMNS, "HER2: a", "HER2: b, µm"]
    assert [UUID(row[0]).bytes for row in rows] == [row.tobytes() for row in table.uuid]
    assert np.array_equal(np.array([row[1:3] for row in rows], np.float32), table.centroid_xy)
    # A name that a spreadsheet would run is written as text.
    assert {row[3] for row in rows} == {"'=Tumor; 1"}
    assert [row[4] for row in rows] == ["Tumor: Negative", "Tumor: 3+", ""]
    values = np.array([[float(cell) if cell else np.nan for cell in row[5:]] for row in rows], np.float32)
    assert np.array_equal(values, table.measurements, equal_nan=True)


def test_no_cells_are_a_header(table: CellTable) -> None:
    empty = replace(
        table,
        uuid=table.uuid[:0],
        centroid_xy=table.centroid_xy[:0],
        region=table.region[:0],
        measurements=table.measurements[:0],
        cell_class=table.cell_class[:0],
    )
    assert b"".join(cells_csv(empty, [])).count(b"\r\n") == 1
