"""Cells of finished runs, kept in memory while somebody looks at them, and what a view of a slide shows of them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from qupath_her2.cells.existing_cells import select_rings
from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import NOT_MEASURED, TUMOUR_PROBABILITY, Box, CellTable
from qupath_her2.regions import shown_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.records import SlideScore

__all__ = ["StoredRun", "StoredRuns", "cell_features", "cell_measurements", "cell_points", "find_cell"]

#: Memory of the tables kept; the last one used stays, however large it is.
_MOST_BYTES = 500_000_000
#: Cells drawn as points at most; on a screen of two megapixels more cover each other.
MOST_POINTS = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class StoredRun:
    """A finished run as it was read and validated."""

    record: RunRecord
    cells: CellTable
    score: SlideScore

    @property
    def region_names(self) -> tuple[str, ...]:
        """What the scored regions are called in reports."""
        return tuple(
            shown_name(entry.get("name"), entry.get("class"), number)
            for number, entry in enumerate(self.record.regions, start=1)
        )

    @property
    def n_bytes(self) -> int:
        """Size of the cells in memory."""
        cells = self.cells
        arrays = (cells.uuid, cells.centroid_xy, cells.cell_xy, cells.nucleus_xy, cells.measurements)
        return sum(array.nbytes for array in arrays)


class StoredRuns:
    """Runs read from disk, the last used ones kept within a limit of memory."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._runs: OrderedDict[Path, StoredRun] = OrderedDict()
        self._lock = Lock()

    def read(self, run_dir: Path) -> StoredRun:
        """Return a run; ExchangeError where it is damaged, or gone."""
        # One at a time: the views of a page ask for the same run at once, and each copy may take a gigabyte.
        with self._lock:
            found = self._runs.get(run_dir)
            if found is None:
                record, cells, score = read_run(run_dir)
                if cells is None:
                    raise ExchangeError(
                        f"The run '{run_dir}' holds no table of cells. Score the slide again."
                    )
                found = self._runs[run_dir] = StoredRun(record, cells, score)
            self._runs.move_to_end(run_dir)
            total = sum(run.n_bytes for run in self._runs.values())
            while total > self._most_bytes and len(self._runs) > 1:
                total -= self._runs.popitem(last=False)[1].n_bytes
            return found

    def forget(self, run_dir: Path) -> None:
        """Drop a run that is about to be deleted."""
        with self._lock:
            self._runs.pop(run_dir, None)


def _in_view(cells: CellTable, view: Box) -> NDArray[np.intp]:
    x, y = cells.centroid_xy[:, 0], cells.centroid_xy[:, 1]
    inside = (x >= view.x) & (x < view.x + view.width) & (y >= view.y) & (y < view.y + view.height)
    return np.flatnonzero(inside)


def _probabilities(cells: CellTable) -> NDArray[np.float32] | None:
    """Return the tumour probability of all cells, None where it was not measured."""
    if TUMOUR_PROBABILITY not in cells.measurement_names:
        return None
    column = cells.column(TUMOUR_PROBABILITY)
    return column if np.isfinite(column).any() else None


def has_probabilities(cells: CellTable) -> bool:
    """Return whether any cell has a tumour probability."""
    return _probabilities(cells) is not None


def cell_features(cells: CellTable, view: Box, limit: int) -> dict[str, Any]:
    """Return the outlines of the cells in a view as GeoJSON.

    Parameters
    ----------
    cells
        All cells of the slide.
    view
        What is looked at, level-0 pixels; a cell is in it by its centroid.
    limit
        Most cells returned, those nearest to the middle of the view.

    Returns
    -------
    dict[str, Any]
        A FeatureCollection, each feature with its ``id``, and ``class`` and ``tumour_probability`` among its properties
        (null where not measured). Its member ``total`` counts all cells in the view.
    """
    which = _in_view(cells, view)
    total = len(which)
    if total > limit:
        middle = (view.x + view.width / 2, view.y + view.height / 2)
        distance = np.square(cells.centroid_xy[which] - middle).sum(axis=1)
        which = which[np.sort(np.argpartition(distance, limit)[:limit])]
    # A cell without an outline is shown as a point, further out.
    which = which[cells.cell_offsets[which + 1] > cells.cell_offsets[which]]
    probabilities = _probabilities(cells)
    features = [
        {
            "type": "Feature",
            "id": str(UUID(bytes=cells.uuid[row].tobytes())),
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                "class": _class_name(cells, row),
                "tumour_probability": None if probabilities is None else _number(probabilities[row]),
            },
        }
        for row, ring in zip(which.tolist(), _closed_rings(cells, which), strict=True)
    ]
    return {"type": "FeatureCollection", "features": features, "total": total}


def _closed_rings(cells: CellTable, which: NDArray[np.intp]) -> Iterator[list[list[float]]]:
    """Yield the outlines of cells as GeoJSON has them, the first point repeated at the end."""
    xy, starts = select_rings(cells.cell_xy, cells.cell_offsets, which)
    # QuPath's grid of 0.01 px, in float64: a float32 of five digits before the point would not print as two after it.
    points: list[list[float]] = xy.astype(np.float64).round(2).tolist()
    for start, stop in pairwise(starts.tolist()):
        yield [*points[start:stop], points[start]]


def _class_name(cells: CellTable, row: int) -> str | None:
    code = int(cells.cell_class[row])
    return None if code == NOT_MEASURED else cells.class_names[code]


def _number(value: float) -> float | None:
    """Return a float32 with the digits that it holds, None for what was not measured."""
    return float(f"{value:.7g}") if np.isfinite(value) else None


def cell_points(cells: CellTable, most: int = MOST_POINTS) -> dict[str, Any]:
    """Return centroid and class of all cells as columns, to be drawn where outlines would be too small.

    Parameters
    ----------
    cells
        All cells of the slide.
    most
        Most cells returned.

    Returns
    -------
    dict[str, Any]
        ``x``, ``y`` (level-0 pixels, rounded), ``class`` (index into ``classes``, -1 where not measured) and
        ``tumour_probability`` (per cent, -1 where not measured; null where no cell has one). Of more than `most` of the
        ``n_cells`` cells a random sample, always the same.
    """
    which = np.arange(len(cells))
    if len(cells) > most:
        # Not every so many-th cell: the cells stand in the order of tiles, and a pattern would show.
        which = np.sort(np.random.default_rng(0).choice(which, most, replace=False))
    codes = cells.cell_class[which].astype(np.int16)
    codes[codes == NOT_MEASURED] = -1
    x, y = np.rint(cells.centroid_xy[which]).astype(np.int32).T
    probabilities = _probabilities(cells)
    percent = None
    if probabilities is not None:
        percent = np.nan_to_num(np.rint(100 * probabilities[which]), nan=-1).astype(np.int16)
    return {
        "n_cells": len(cells),
        "classes": cells.class_names,
        "x": np.ascontiguousarray(x),
        "y": np.ascontiguousarray(y),
        "class": codes,
        "tumour_probability": percent,
    }


def find_cell(cells: CellTable, cell_id: UUID) -> int | None:
    """Return the row of a cell, None where there is no such cell."""
    rows = np.flatnonzero((cells.uuid == np.frombuffer(cell_id.bytes, np.uint8)).all(axis=1))
    return int(rows[0]) if len(rows) else None


def cell_measurements(run: StoredRun, row: int) -> dict[str, Any]:
    """Return everything known of a cell: ``id``, ``class``, ``region``, ``x``, ``y``, and ``measurements`` by name."""
    cells = run.cells
    values = cells.measurements[row].tolist()
    return {
        "id": str(UUID(bytes=cells.uuid[row].tobytes())),
        "class": _class_name(cells, row),
        "region": run.region_names[int(cells.region[row])],
        "x": _number(cells.centroid_xy[row, 0]),
        "y": _number(cells.centroid_xy[row, 1]),
        "measurements": {
            name: _number(value) for name, value in zip(cells.measurement_names, values, strict=True)
        },
    }
