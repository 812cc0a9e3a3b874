"""Measured cells as a `CellTable`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.existing_cells import rings_of
from qupath_her2.cells.membrane.measurements import MEASUREMENT_NAMES, UNCERTAINTY_NAME
from qupath_her2.cells.tile import TileCells
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.records import NOT_MEASURED, CellTable

__all__ = ["assemble", "existing_table"]


def _table(
    found: TileCells,
    columns: NDArray[np.float32],
    uuid: NDArray[np.uint8],
    cells: tuple[NDArray[np.float32], NDArray[np.int64]],
    nuclei: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> CellTable:
    names = MEASUREMENT_NAMES
    # Other sources of cells know nothing of it: they have no such column, rather than an empty one.
    if np.isfinite(found.uncertainty).any():
        names, columns = (*names, UNCERTAINTY_NAME), np.column_stack([columns, found.uncertainty])
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


def _even_rings(xy: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    n, corners = xy.shape[:2]
    return np.ascontiguousarray(xy.reshape(-1, 2)), np.arange(n + 1, dtype=np.int64) * corners


def assemble(found: TileCells, columns: NDArray[np.float32]) -> CellTable:
    """Return new cells as a table; UUIDs are zero until the run is known.

    Parameters
    ----------
    found
        N cells.
    columns
        float32 (N, M), `membrane.measurement_columns`.
    """
    uuid = np.zeros((len(found), 16), np.uint8)
    return _table(found, columns, uuid, _even_rings(found.cell_xy), _even_rings(found.nucleus_xy))


def existing_table(found: TileCells, existing: ExistingCells, columns: NDArray[np.float32]) -> CellTable:
    """Return existing cells as a table, with the UUIDs and outlines they came with.

    A plain detection is measured as a nucleus, but its outline in the table is the one it has in QuPath.

    Parameters
    ----------
    found
        N measured cells; `found.given` are their places in `existing`.
    existing
        All cells of the region file.
    columns
        float32 (N, M), `membrane.measurement_columns`.
    """
    place = found.given
    cells = rings_of(existing.cell_xy, existing.cell_offsets, place)
    nuclei = rings_of(existing.nucleus_xy, existing.nucleus_offsets, place)
    return _table(found, columns, existing.uuid[place], cells, nuclei)
