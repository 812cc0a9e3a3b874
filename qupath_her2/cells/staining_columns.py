"""Staining of each cell in codes, and whether the cell decides the score: columns of the table, to filter cells by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qupath_her2.records import NOT_MEASURED, CellTable

__all__ = ["DECIDING", "INTENSITY", "PATTERN", "with_staining"]

#: Columns. Measurements in QuPath are numbers: intensity and pattern are indices into `records.INTENSITIES` (0 none,
#: 1 faint, 2 moderate, 3 intense) and `records.PATTERNS` (0 none, 1 incomplete, 2 lateral or basolateral, 3 complete);
#: a deciding cell has 1, all others 0. NaN where the cell has no class.
INTENSITY = "HER2: Membrane intensity"
PATTERN = "HER2: Membrane pattern"
DECIDING = "HER2: Deciding cell"


def with_staining(
    table: CellTable, intensity: NDArray[np.uint8], pattern: NDArray[np.uint8], deciding: NDArray[np.bool_]
) -> CellTable:
    """Return a table of classified cells with the columns of their staining, new or in place of earlier ones.

    Parameters
    ----------
    table
        N cells with their classes.
    intensity, pattern
        uint8 (N,), indices into `records.INTENSITIES` and `records.PATTERNS`, 255 = not measured.
    deciding
        bool (N,), from `scoring.deciding`.

    Returns
    -------
    CellTable
        With three more columns, the last ones.
    """
    columns = {INTENSITY: intensity, PATTERN: pattern, DECIDING: deciding}
    kept = [number for number, name in enumerate(table.measurement_names) if name not in columns]
    codes = np.stack(list(columns.values()), 1).astype(np.float32)
    codes[(table.cell_class == NOT_MEASURED) | (intensity == NOT_MEASURED) | (pattern == NOT_MEASURED)] = (
        np.nan
    )
    return replace(
        table,
        measurements=np.hstack([table.measurements[:, kept], codes]),
        measurement_names=(*(table.measurement_names[number] for number in kept), *columns),
    )
