from __future__ import annotations

import numpy as np

from qupath_her2.cells.staining_columns import DECIDING, INTENSITY, PATTERN, with_staining
from qupath_her2.records import INTENSITIES, NOT_MEASURED, PATTERNS, CellTable


def table(n: int) -> CellTable:
    """A table of `n` cells with one measurement, of the classes 0..3 in turn."""
    offsets = np.arange(0, 3 * n + 1, 3)
    ring = np.tile(np.array([[0, 0], [4, 0], [0, 4]], np.float32), (n, 1))
    return CellTable(
        uuid=np.zeros((n, 16), np.uint8),
        centroid_xy=np.ones((n, 2), np.float32),
        cell_xy=ring,
        cell_offsets=offsets,
        nucleus_xy=ring[:0],
        nucleus_offsets=np.zeros(n + 1, np.int64),
        region=np.zeros(n, np.int32),
        measurements=np.arange(n, dtype=np.float32)[:, None],
        measurement_names=("HER2: Membrane width µm",),
        cell_class=(np.arange(n) % 4).astype(np.uint8),
    )


def test_codes_of_each_cell() -> None:
    intensity = np.array([0, 1, 2, 3, 3], np.uint8)
    pattern = np.array([0, 1, 2, 3, NOT_MEASURED], np.uint8)
    found = with_staining(table(5), intensity, pattern, np.array([False, False, True, True, False]))
    assert found.measurement_names == ("HER2: Membrane width µm", INTENSITY, PATTERN, DECIDING)
    assert found.measurements.dtype == np.float32
    np.testing.assert_array_equal(found.column("HER2: Membrane width µm"), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(found.column(INTENSITY), [0, 1, 2, 3, np.nan])
    np.testing.assert_array_equal(found.column(PATTERN), [0, 1, 2, 3, np.nan])
    np.testing.assert_array_equal(found.column(DECIDING), [0, 0, 1, 1, np.nan])
    # The legend that stands beside the names.
    assert INTENSITIES == ("none", "faint", "moderate", "intense")
    assert PATTERNS == ("none", "incomplete", "lateral or basolateral", "complete")


def test_scoring_again_replaces_the_columns() -> None:
    codes = np.array([3, 3, 0], np.uint8)
    once = with_staining(table(3), codes, codes, np.array([True, True, False]))
    again = with_staining(once, codes[::-1], codes[::-1], np.array([False, False, True]))
    assert again.measurement_names == once.measurement_names
    np.testing.assert_array_equal(again.column(PATTERN), [0, 3, 3])
    np.testing.assert_array_equal(again.column(DECIDING), [0, 0, 1])


def test_a_cell_without_a_class_shows_no_staining() -> None:
    refused = table(2)
    refused.cell_class[:] = NOT_MEASURED
    codes = np.array([3, 3], np.uint8)
    found = with_staining(refused, codes, codes, np.zeros(2, bool))
    assert np.isnan(found.measurements[:, 1:]).all()
