"""Cells of a run as CSV, a line per cell, written in pieces: a slide has a million."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import orjson

from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.records import NOT_MEASURED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qupath_her2.records import CellTable

__all__ = ["CELL_COLUMNS", "cells_csv"]

#: Columns before the measurements; x and y are the centroid, level-0 pixels.
CELL_COLUMNS: tuple[str, ...] = ("cell id", "x px", "y px", "region", "class")
_CELLS_AT_ONCE = 8192
_BOM = b"\xef\xbb\xbf"


def cells_csv(cells: CellTable, region_names: Sequence[str]) -> Iterator[bytes]:
    """Yield the lines of all cells, the header first; what was not measured is empty.

    Parameters
    ----------
    cells
        The table.
    region_names
        Names of the scored regions, in the order to which the cells' `region` refers.

    Yields
    ------
    bytes
        CSV as `csv_bytes` writes it, some thousand lines at a time.
    """
    yield csv_bytes([[*CELL_COLUMNS, *cells.measurement_names]])
    names = [*cells.class_names, ""]
    for start in range(0, len(cells), _CELLS_AT_ONCE):
        part = slice(start, start + _CELLS_AT_ONCE)
        # orjson writes float32 with as few digits as read back the same, a hundred times as fast as formatting each.
        numbers = np.column_stack([cells.centroid_xy[part], cells.measurements[part]])
        text = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        rows = [row.split(",") for row in text[2:-2].replace("null", "").split("],[")]
        codes = np.where(
            cells.cell_class[part] == NOT_MEASURED, len(cells.class_names), cells.cell_class[part]
        )
        lines = [
            (str(UUID(bytes=uuid.tobytes())), *row[:2], region_names[region], names[code], *row[2:])
            for uuid, row, region, code in zip(
                cells.uuid[part], rows, cells.region[part].tolist(), codes.tolist(), strict=True
            )
        ]
        # The byte order mark stands at the beginning of the file alone.
        yield csv_bytes(lines).removeprefix(_BOM)
