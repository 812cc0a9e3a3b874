from __future__ import annotations

import numpy as np

from qupath_her2.cells.reviewer_classes import REVIEWER_CLASS, with_reviewer_classes
from qupath_her2.records import CellTable


def table(names: tuple[str, ...], values: list[list[float]]) -> CellTable:
    n = len(values)
    return CellTable(
        uuid=np.zeros((n, 16), np.uint8),
        centroid_xy=np.zeros((n, 2), np.float32),
        cell_xy=np.zeros((0, 2), np.float32),
        cell_offsets=np.zeros(n + 1, np.int64),
        nucleus_xy=np.zeros((0, 2), np.float32),
        nucleus_offsets=np.zeros(n + 1, np.int64),
        region=np.zeros(n, np.int32),
        measurements=np.array(values, np.float32),
        measurement_names=names,
        cell_class=np.full(n, 255, np.uint8),
    )


def test_given_classes_replace_measured_facts_and_leave_the_arrays_alone() -> None:
    cells = table((REVIEWER_CLASS,), [[np.nan], [3], [0], [2]])
    intensity, pattern = np.array([1, 1, 3, 255], np.uint8), np.array([1, 1, 3, 255], np.uint8)
    found = with_reviewer_classes(cells, intensity, pattern)
    assert [column.tolist() for column in found] == [[1, 3, 0, 2], [1, 3, 0, 3]]
    assert intensity.tolist() == [1, 1, 3, 255]


def test_without_the_column_the_arrays_are_returned_as_they_are() -> None:
    intensity, pattern = np.ones(1, np.uint8), np.ones(1, np.uint8)
    assert with_reviewer_classes(table(("HER2: x",), [[1]]), intensity, pattern) == (intensity, pattern)
