"""Conversion of measured cells to a `CellTable`, the format that is saved, scored and pushed to QuPath."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.existing_cells import select_rings
from qupath_her2.cells.membrane.measurements import MEASUREMENT_NAMES, UNCERTAINTY_NAME
from qupath_her2.cells.tile_cells import TileCells
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.records import NOT_MEASURED, TUMOUR_PROBABILITY, CellTable

__all__ = ["existing_cell_table", "new_cell_table"]


def _table(
    found: TileCells,
    columns: NDArray[np.float32],
    uuid: NDArray[np.uint8],
    cells: tuple[NDArray[np.float32], NDArray[np.int64]],
    nuclei: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> CellTable:
    """Build the table; `cells` and `nuclei` are vertices and offsets of ragged rings."""
    names = MEASUREMENT_NAMES
    # Only Bayesian networks have an uncertainty: all others get no such column, rather than one of NaN.
    if np.isfinite(found.uncertainty).any():
        names, columns = (*names, UNCERTAINTY_NAME), np.column_stack([columns, found.uncertainty])
    if np.isfinite(found.tumour_probability).any():
        names, columns = (*names, TUMOUR_PROBABILITY), np.column_stack([columns, found.tumour_probability])
    return CellTable(
        uuid=uuid,
        centroid_xy=found.centre_xy.astype(np.float32),
        cell_xy=cells[0],
        cell_offsets=cells[1],
        nucleus_xy=nuclei[0],
        nucleus_offsets=nuclei[1],
        region=found.region.astype(np.int32),
        measurements=columns,
        measurement_names=names,
        cell_class=np.full(len(found), NOT_MEASURED, np.uint8),
    )


def _ragged(xy: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return rings of equal length (N, V, 2) as vertices (N * V, 2) and offsets (N + 1)."""
    n, corners = xy.shape[:2]
    return np.ascontiguousarray(xy.reshape(-1, 2)), np.arange(n + 1, dtype=np.int64) * corners


def new_cell_table(found: TileCells, columns: NDArray[np.float32]) -> CellTable:
    """Return detected cells as a table.

    Parameters
    ----------
    found
        N cells.
    columns
        float32 (N, M), see `measurement_columns`.

    Returns
    -------
    CellTable
        N rows, class not measured; UUIDs are zero until the run that made the cells is known.
    """
    # UUIDs contain the hash of the run, which is not known yet.
    uuid = np.zeros((len(found), 16), np.uint8)
    return _table(found, columns, uuid, _ragged(found.cell_xy), _ragged(found.nucleus_xy))


def existing_cell_table(found: TileCells, existing: ExistingCells, columns: NDArray[np.float32]) -> CellTable:
    """Return existing cells as a table, with their own UUIDs and outlines.

    The outlines in the table are those that the cells have in QuPath. The measurements, areas included, are those of
    the nucleus and the membrane that were found in them, and mean the same as for our own cells.

    Parameters
    ----------
    found
        N measured cells; `found.existing_index` points into `existing`.
    existing
        All cells of the region file.
    columns
        float32 (N, M), see `measurement_columns`.

    Returns
    -------
    CellTable
        N rows, class not measured.
    """
    # The original rings, not the star-shaped ones that were measured: a push must not reshape anybody's objects.
    place = found.existing_index
    cells = select_rings(existing.cell_xy, existing.cell_offsets, place)
    nuclei = select_rings(existing.nucleus_xy, existing.nucleus_offsets, place)
    return _table(found, columns, existing.uuid[place], cells, nuclei)
