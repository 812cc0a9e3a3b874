"""A person's corrections of cells, applied to newly measured cells: her classes count, deleted cells do not.

A score counts the cells that the image in QuPath holds after an import. An import leaves every cell that a person
reclassified where it is, and adds no new cell whose centre lies in the outline of such a cell or of a deleted one
(``groovy/lib/Her2RowSelection.groovy``). The same rule, applied here before the cells are scored, makes QuPath's own
counts and H-score equal to ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import shapely

from qupath_her2.cells.existing_cells import ring_centroid, select_rings
from qupath_her2.cells.membrane.grading import Estimates
from qupath_her2.cells.reviewer_classes import REVIEWER_CLASS, with_reviewer_classes
from qupath_her2.records import CELL_CLASSES, NOT_MEASURED, CellTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qupath_her2.cells.measure import MeasuredCells
    from qupath_her2.project.exchange.correction_files import CellCorrections, ChangedCell
    from qupath_her2.regions import RegionMap

__all__ = ["Corrected", "apply_corrections", "class_code"]

#: QuPath rounds the coordinates of what it reads to 0.01 px; a centroid that differs by more was moved by a person.
_ROUNDING_PX = 0.05


@dataclass(frozen=True, slots=True)
class Corrected:
    """Corrections that concern the scored regions of an image.

    Attributes
    ----------
    changed
        Number of cells whose class a person changed.
    deleted
        Number of cells that a person deleted.
    """

    changed: int
    deleted: int

    @property
    def sentence(self) -> str:
        """The sentence for the score; "" without corrections."""
        parts = [f"{self.changed:,} cell{'s' * (self.changed != 1)} you changed"] if self.changed else []
        if self.deleted:
            noun = "" if self.changed else f" cell{'s' * (self.deleted != 1)}"
            parts.append(f"{self.deleted:,}{noun} you deleted")
        if not parts:
            return ""
        verb = "is" if self.changed + self.deleted == 1 else "are"
        return f"{' and '.join(parts)} {verb} counted as you left {'it' if verb == 'is' else 'them'}."


def class_code(name: str | None) -> int | None:
    """Return the index of a class in `CELL_CLASSES`; None where it is no graded tumour class, and so not counted."""
    # QuPath's menu of intensity classes makes "Tumor: 2+" of "Tumor" and plain "2+" of a cell without a class.
    names = {full.removeprefix("Tumor: "): code for code, full in enumerate(CELL_CLASSES)}
    return None if name is None else names.get(name.removeprefix("Tumor: "))


def apply_corrections(
    cells: MeasuredCells, corrections: CellCorrections, regions: RegionMap
) -> tuple[MeasuredCells, Corrected]:
    """Return the cells that QuPath will show: without deleted ones, and with the classes that a person gave.

    Parameters
    ----------
    cells
        Measured cells of an image.
    corrections
        Of the same image.
    regions
        Its regions; `regions.scored` are those of `cells`.

    Returns
    -------
    tuple[MeasuredCells, Corrected]
        The cells, with the column `REVIEWER_CLASS` where a class was given, and the number of corrections.
    """
    table = cells.table
    given = np.full(len(table), np.nan, np.float32)
    region = table.region.copy()
    moved_by = np.zeros((len(table), 2), np.float32)
    outlines = [one.ring for one in corrections.changed] + list(corrections.deleted)
    inside = _rows_inside(table.centroid_xy, outlines)
    keep = np.ones(len(table), bool)
    for rows in inside:
        keep[rows] = False
    changed = 0
    added: list[tuple[ChangedCell, int, int]] = []
    places = _places(regions, [one.centroid_xy for one in corrections.changed])
    # The outlines of changed cells come first.
    for one, place, rows in zip(corrections.changed, places, inside[: len(places)], strict=True):
        code = class_code(one.class_name)
        changed += place >= 0
        if place < 0 or code is None:
            continue
        free = rows[~keep[rows]]
        if not len(free):
            added.append((one, place, code))
            continue
        # The new detection of the same cell lends its measurements; others in the outline are not in QuPath either.
        row = free[np.argmin(((table.centroid_xy[free] - one.ring.mean(0)) ** 2).sum(1))]
        keep[row], given[row], region[row] = True, code, place
        if _is_moved(one):
            moved_by[row] = np.subtract(one.centroid_xy, ring_centroid(table.outline(row)))
    deleted = sum(place >= 0 for place in _places(regions, [ring.mean(0) for ring in corrections.deleted]))
    for row, name in _existing_rows(table, corrections):
        changed += 1
        code = class_code(name)
        keep[row], given[row] = code is not None, np.nan if code is None else code
    table = _moved(replace(table, region=region), moved_by)
    corrected = _with_rows(cells, table, np.flatnonzero(keep), given, added)
    return corrected, Corrected(changed, deleted)


def _is_moved(cell: ChangedCell) -> bool:
    """Return whether a person gave a cell an outline with another centroid."""
    return math.dist(cell.centroid_xy, ring_centroid(cell.ring)) > _ROUNDING_PX


def _moved(table: CellTable, by_xy: NDArray[np.float32]) -> CellTable:
    """Return the cells with outline and nucleus moved, float32 (N, 2) px; `centroid_xy` stays where it was detected.

    The counts of regions ask for the centroid of the outline, as QuPath's do; the import asks for `centroid_xy`, so
    that no second cell is added where a person moved one away.
    """
    if not by_xy.any():
        return table
    return replace(
        table,
        cell_xy=table.cell_xy + np.repeat(by_xy, np.diff(table.cell_offsets), axis=0),
        nucleus_xy=table.nucleus_xy + np.repeat(by_xy, np.diff(table.nucleus_offsets), axis=0),
    )


def _ring_now(cell: ChangedCell) -> NDArray[np.float32]:
    """Return the outline that a cell had in its result, moved to where its centroid is now."""
    by = np.subtract(cell.centroid_xy, ring_centroid(cell.ring)) if _is_moved(cell) else 0
    return (cell.ring + by).astype(np.float32)


def _places(regions: RegionMap, points: Sequence[Sequence[float] | NDArray[np.float64]]) -> list[int]:
    """Return the scored region of each point, level-0 pixels; -1 outside."""
    return list(regions.assign(np.array(points, np.float64).reshape(-1, 2)).tolist())


def _rows_inside(xy: NDArray[np.float32], rings: Sequence[NDArray[np.float64]]) -> list[NDArray[np.intp]]:
    """Return the indices of the points, float32 (N, 2), inside each ring."""
    if not rings:
        return []
    tree = shapely.STRtree(shapely.points(xy.astype(np.float64)))
    ring_of, row = tree.query([shapely.Polygon(ring) for ring in rings], predicate="contains")
    return [row[ring_of == number] for number in range(len(rings))]


def _existing_rows(table: CellTable, corrections: CellCorrections) -> list[tuple[int, str | None]]:
    """Return row and class name of cells that were in QuPath before and that a person reclassified."""
    if not corrections.existing:
        # The table may hold a million cells.
        return []
    rows = {uuid.tobytes(): row for row, uuid in enumerate(table.uuid)}
    return [(rows[uuid.bytes], name) for uuid, name in corrections.existing.items() if uuid.bytes in rows]


def _with_rows(
    cells: MeasuredCells,
    table: CellTable,
    rows: NDArray[np.intp],
    given: NDArray[np.float32],
    added: Sequence[tuple[ChangedCell, int, int]],
) -> MeasuredCells:
    """Return the chosen rows, then a row without measurements for each cell that was not detected again."""
    n = len(added)
    classes = np.concatenate([given[rows], np.array([code for _, _, code in added], np.float32)])
    rings = [_ring_now(one) for one, _, _ in added]
    cell_xy, cell_offsets = select_rings(table.cell_xy, table.cell_offsets, rows)
    nucleus_xy, nucleus_offsets = select_rings(table.nucleus_xy, table.nucleus_offsets, rows)
    lengths = np.cumsum([len(ring) for ring in rings], dtype=np.int64)
    blank = np.full((n, table.measurements.shape[1]), np.nan, np.float32)
    measurements = np.concatenate([table.measurements[rows], blank])
    names = table.measurement_names
    if np.isfinite(classes).any():
        names, measurements = (*names, REVIEWER_CLASS), np.column_stack([measurements, classes])
    # In the middle of the outline that the import keeps free, whatever the shape of the cell.
    centres = [_inner_point(one.ring) for one, _, _ in added]
    joined = replace(
        table,
        uuid=np.concatenate([table.uuid[rows], np.zeros((n, 16), np.uint8)]),
        centroid_xy=np.concatenate([table.centroid_xy[rows], np.array(centres, np.float32).reshape(n, 2)]),
        cell_xy=np.concatenate([cell_xy, *rings]),
        cell_offsets=np.concatenate([cell_offsets, cell_offsets[-1] + lengths]),
        nucleus_xy=nucleus_xy,
        nucleus_offsets=np.concatenate([nucleus_offsets, np.full(n, nucleus_offsets[-1], np.int64)]),
        region=np.concatenate([table.region[rows], np.array([place for _, place, _ in added], np.int32)]),
        measurements=measurements.astype(np.float32),
        measurement_names=names,
        cell_class=np.full(len(rows) + n, NOT_MEASURED, np.uint8),
    )
    unknown = np.full(n, np.nan, np.float32)
    estimates = Estimates(
        np.concatenate([cells.estimates.own_od[rows], unknown]),
        np.concatenate([cells.estimates.completeness[rows], unknown]),
        np.concatenate([cells.estimates.lateral[rows], np.zeros(n, bool)]),
    )
    missing = np.full(n, NOT_MEASURED, np.uint8)
    intensity, pattern = with_reviewer_classes(
        joined,
        np.concatenate([cells.intensity[rows], missing]),
        np.concatenate([cells.pattern[rows], missing]),
    )
    return replace(cells, table=joined, intensity=intensity, pattern=pattern, estimates=estimates)


def _inner_point(ring: NDArray[np.float64]) -> tuple[float, float]:
    shape = shapely.Polygon(ring)
    point = shape.centroid if shape.contains(shape.centroid) else shape.representative_point()
    return float(point.x), float(point.y)
