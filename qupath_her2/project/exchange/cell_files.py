"""``cells.npz``, format 1: the table of cells; ``run.json`` has the names of its measurements and classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.npz_columns import Columns, first_duplicate, read_columns, write_columns
from qupath_her2.records import NOT_MEASURED, CellTable

__all__ = ["check_cells", "read_cells", "write_cells"]

_COLUMNS: Columns = {
    "uuid": ("|u1", 2),
    "centroid_xy": ("<f4", 2),
    "cell_xy": ("<f4", 2),
    "cell_offsets": ("<i8", 1),
    "nucleus_xy": ("<f4", 2),
    "nucleus_offsets": ("<i8", 1),
    "region": ("<i4", 1),
    "measurements": ("<f4", 2),
    "cell_class": ("|u1", 1),
}


def write_cells(file: IO[bytes], cells: CellTable) -> None:
    """Write a table to an open binary file; ExchangeError if `check_cells` finds it invalid."""
    check_cells(cells)
    write_columns(file, cells, _COLUMNS)


def read_cells(
    path: Path,
    *,
    measurement_names: Sequence[str],
    class_names: Sequence[str],
    n_regions: int | None = None,
) -> CellTable:
    """Read and validate a table of cells.

    Parameters
    ----------
    path
        ``cells.npz`` of a run.
    measurement_names, class_names
        ``cells.measurements`` and ``cells.classes`` of the run's record.
    n_regions
        Number of regions in the record; None leaves the region index unchecked.

    Returns
    -------
    CellTable
        The table, in native byte order.

    Raises
    ------
    ExchangeError
        The file violates format 1; the message names the column.
    """
    columns = read_columns(path, _COLUMNS)
    cells = CellTable(**columns, measurement_names=tuple(measurement_names), class_names=tuple(class_names))
    check_cells(cells, where=f"'{path}'", n_regions=n_regions)
    return cells


def check_cells(cells: CellTable, *, where: str = "The table of cells", n_regions: int | None = None) -> None:
    """Validate a table of cells against format 1.

    Parameters
    ----------
    cells
        The table.
    where
        Start of the error message: the file, or what the table is.
    n_regions
        Number of scored regions; None leaves the region index unchecked.

    Raises
    ------
    ExchangeError
        A rule is violated; the message names the column.
    """
    n = len(cells.uuid)
    shapes = {
        "uuid": (n, 16),
        "centroid_xy": (n, 2),
        "cell_offsets": (n + 1,),
        "nucleus_offsets": (n + 1,),
        "region": (n,),
        "measurements": (n, len(cells.measurement_names)),
        "cell_class": (n,),
    }
    for name, shape in shapes.items():
        found = getattr(cells, name).shape
        if found != shape:
            raise ExchangeError(f"{where}: {name} has shape {found}, expected {shape}.")
    for part in ("cell", "nucleus"):
        _check_rings(getattr(cells, f"{part}_xy"), getattr(cells, f"{part}_offsets"), f"{where}: {part}")
    if not np.isfinite(cells.centroid_xy).all():
        raise ExchangeError(f"{where}: centroid_xy holds NaN or infinity.")
    known = (cells.cell_class < len(cells.class_names)) | (cells.cell_class == NOT_MEASURED)
    if not known.all():
        wrong = int(cells.cell_class[~known][0])
        raise ExchangeError(
            f"{where}: cell_class holds {wrong}, but there are {len(cells.class_names)} classes."
        )
    if n_regions is not None and n and (cells.region.min() < 0 or cells.region.max() >= n_regions):
        raise ExchangeError(f"{where}: region holds an index outside 0..{n_regions - 1}.")
    # Checked last, since it sorts all UUIDs.
    repeated = first_duplicate(cells.uuid)
    if repeated is not None:
        raise ExchangeError(
            f"{where}: the UUID of cell {repeated} occurs twice; objects in QuPath are found by UUID."
        )


def _check_rings(xy: NDArray[np.float32], offsets: NDArray[np.int64], where: str) -> None:
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ExchangeError(f"{where}_xy has shape {xy.shape}, expected (vertices, 2).")
    counts = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(xy) or (counts < 0).any():
        raise ExchangeError(f"{where}_offsets do not rise from 0 to the number of vertices, {len(xy)}.")
    # An empty range is allowed (no nucleus); QuPath refuses outlines of one or two points.
    if ((counts == 1) | (counts == 2)).any():
        raise ExchangeError(f"{where}_offsets give an outline of fewer than 3 vertices.")
    if not np.isfinite(xy).all():
        raise ExchangeError(f"{where}_xy holds NaN or infinity.")
