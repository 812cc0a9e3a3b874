from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.cells.cell_table import existing_cell_table, new_cell_table
from qupath_her2.cells.membrane.measurements import MEASUREMENT_NAMES, UNCERTAINTY_NAME
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.records import NOT_MEASURED, TUMOUR_PROBABILITY


def columns(n: int) -> np.ndarray:
    return np.arange(n * len(MEASUREMENT_NAMES), dtype=np.float32).reshape(n, len(MEASUREMENT_NAMES))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_new_cells_become_ragged_rings(n: int, tile_cells) -> None:
    found = tile_cells(1, n)
    table = new_cell_table(found, columns(n))
    assert len(table) == n
    assert table.uuid.shape == (n, 16)
    assert not table.uuid.any()
    assert (table.cell_class == NOT_MEASURED).all()
    assert (table.measurements == columns(n)).all()
    assert table.measurement_names == MEASUREMENT_NAMES
    assert (table.region == found.region).all()
    for i in range(n):
        assert (table.cell_xy[table.cell_offsets[i] : table.cell_offsets[i + 1]] == found.cell_xy[i]).all()
        ring = table.nucleus_xy[table.nucleus_offsets[i] : table.nucleus_offsets[i + 1]]
        assert (ring == found.nucleus_xy[i]).all()
    assert [a.dtype for a in (table.centroid_xy, table.cell_xy, table.cell_offsets)] == [
        np.float32, np.float32, np.int64
    ]  # fmt: skip


def test_uncertainty_has_a_column_of_its_own(tile_cells) -> None:
    found = replace(tile_cells(3, 4), uncertainty=np.array([0.1, np.nan, 0.4, 0.0], np.float32))
    table = new_cell_table(found, columns(4))
    assert table.measurement_names == (*MEASUREMENT_NAMES, UNCERTAINTY_NAME)
    assert np.array_equal(table.column(UNCERTAINTY_NAME), found.uncertainty, equal_nan=True)
    assert (table.measurements[:, :-1] == columns(4)).all()


def test_existing_cells_keep_their_uuids_and_rings(tile_cells) -> None:
    xy = np.arange(24, dtype=np.float32).reshape(-1, 2)
    existing = ExistingCells(
        np.arange(48, dtype=np.uint8).reshape(3, 16), xy, np.array([0, 3, 7, 12]), xy[:6],
        np.array([0, 3, 3, 6]), (None, "Tumor", None), np.array([True, False, True]),
    )  # fmt: skip
    table = existing_cell_table(tile_cells(2, 2, existing_index=[2, 1]), existing, columns(2))
    assert (table.uuid == existing.uuid[[2, 1]]).all()
    assert table.cell_offsets.tolist() == [0, 5, 9]
    assert (table.cell_xy == np.concatenate([xy[7:12], xy[3:7]])).all()
    assert table.nucleus_offsets.tolist() == [0, 3, 3]
    assert (table.nucleus_xy == xy[3:6]).all()


def test_tumour_probability_has_a_column_where_tumour_was_searched_for(tile_cells) -> None:
    found = replace(tile_cells(3, 3), tumour_probability=np.array([0.1, 0.9, 0.5], np.float32))
    table = new_cell_table(found, columns(3))
    assert table.measurement_names == (*MEASUREMENT_NAMES, "HER2: Tumour probability")
    assert (table.column(TUMOUR_PROBABILITY) == found.tumour_probability).all()
