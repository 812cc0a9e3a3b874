"""Differences between cells as runs wrote them and as the image in QuPath holds them now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import shapely

from qupath_her2.cells.existing_cells import ring_centroid
from qupath_her2.project.exchange.cell_files import read_cells
from qupath_her2.project.exchange.image_ids import image_folder
from qupath_her2.project.exchange.images import FIELDS
from qupath_her2.project.exchange.runs import current_run, read_record
from qupath_her2.provenance import run_key_of
from qupath_her2.records import NOT_MEASURED, CellTable
from qupath_her2.review.changes import Change

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.project.exchange.correction_files import CellCorrections

__all__ = ["WrittenCells", "cell_changes"]

#: The exporter rounds outlines to 0.01 px.
_SAME_PX = 0.02
#: A centroid that is farther from where it was written has been moved, px.
_SHIFT_PX = 0.5


class WrittenCells:
    """Cells of all finished runs of an image and of its fields, read when they are asked for.

    Parameters
    ----------
    her2
        The exchange folder.
    image
        Id of the image.
    """

    def __init__(self, her2: Path, image: str) -> None:
        folder = image_folder(her2, image)
        current = current_run(her2, image)
        others = sorted(path.parent for path in folder.glob("*/run.json") if path.parent != current)
        # Cells of an annotation that was scored by itself are corrected in the same image.
        others += sorted(path.parent for path in her2.glob(f"{FIELDS}/*/results/{image}/*/run.json"))
        # The current run first: most cells that people look at are its own.
        self._runs = ([] if current is None else [current]) + [
            path for path in others if path.suffix != ".tmp"
        ]
        self._tables: dict[Path, CellTable | None] = {}
        self._rows: dict[Path, dict[bytes, int]] = {}

    @property
    def run(self) -> str:
        """Id of the current run; "" without one."""
        return self._runs[0].name if self._runs else ""

    def find(self, uuid: UUID) -> tuple[Path, CellTable, int] | None:
        """Return run, table and row of a cell; None if no run has it."""
        key = run_key_of(uuid)
        for path in self._runs:
            # The head of a run's id is the key in the UUIDs of its cells; existing cells may be in any run.
            if key is not None and not path.name.startswith(key):
                continue
            table = self._table(path)
            if table is None:
                continue
            if path not in self._rows:
                self._rows[path] = {one.tobytes(): row for row, one in enumerate(table.uuid)}
            row = self._rows[path].get(uuid.bytes)
            if row is not None:
                return path, table, row
        return None

    def find_outline(self, ring: NDArray[np.float64]) -> tuple[Path, CellTable, int] | None:
        """Return run, table and row of the cell that was written with this outline, float64 (K, 2), px."""
        for path in self._runs:
            table = self._table(path)
            if table is None or not len(table):
                continue
            starts = table.cell_offsets[:-1]
            has_ring = np.diff(table.cell_offsets) == len(ring)
            first = np.abs(table.cell_xy[np.minimum(starts, len(table.cell_xy) - 1)] - ring[0]).max(axis=1)
            for row in np.flatnonzero(has_ring & (first < _SAME_PX)).tolist():
                if np.abs(table.outline(row) - ring).max() < _SAME_PX:
                    return path, table, row
        return None

    def find_place(self, x: float, y: float) -> tuple[Path, CellTable, int] | None:
        """Return run, table and row of the cell of the current run whose outline holds a point, px; None for none."""
        for path in self._runs[:1]:
            table = self._table(path)
            if table is None or not len(table):
                continue
            row = int(np.hypot(*(table.centroid_xy - (x, y)).T).argmin())
            ring = table.outline(row)
            if len(ring) >= 3 and shapely.Polygon(ring).contains(shapely.Point(x, y)):
                return path, table, row
        return None

    def _table(self, path: Path) -> CellTable | None:
        if path not in self._tables:
            record = read_record(path)
            has_cells = "cells.npz" in record.files
            self._tables[path] = (
                read_cells(
                    path / "cells.npz",
                    measurement_names=record.cells.get("measurements", []),
                    class_names=record.cells.get("classes", []),
                )
                if has_cells
                else None
            )
        return self._tables[path]


def cell_changes(
    image: str, corrections: CellCorrections | None, written: WrittenCells
) -> tuple[list[Change], list[str]]:
    """Return the reclassified, deleted and shifted cells of an image.

    Parameters
    ----------
    image
        Id of the image.
    corrections
        As QuPath exported them; None if nobody corrected a cell.
    written
        The cells of its runs.

    Returns
    -------
    changes : list[Change]
        Without authors.
    notes : list[str]
        Sentences about cells that no run has.
    """
    if corrections is None:
        return [], []
    changes: list[Change] = []
    unknown = 0
    for one in corrections.changed:
        place = written.find(one.uuid) if one.uuid is not None else written.find_outline(one.ring)
        unknown += place is None
        uuid = _uuid(place) if one.uuid is None else str(one.uuid)
        cell = _Cell(image, uuid, _class_of(place), one.ring, _run(place))
        changes.append(cell.change("reclassified", one.class_name or "", one.centroid_xy))
        moved = float(np.hypot(*(np.array(one.centroid_xy) - ring_centroid(one.ring))))
        if moved > _SHIFT_PX:
            changes.append(cell.change("shifted", f"{moved:.1f} px", one.centroid_xy))
    known = corrections.deleted_uuids or (None,) * len(corrections.deleted)
    for gone, ring in zip(known, corrections.deleted, strict=True):
        place = written.find_outline(ring) if gone is None else written.find(gone)
        unknown += place is None
        uuid = _uuid(place) if gone is None else str(gone)
        cell = _Cell(image, uuid, _class_of(place), ring, _run(place))
        changes.append(cell.change("deleted", "", tuple(ring_centroid(ring).tolist())))
    for existing, name in corrections.existing.items():
        place = written.find(existing)
        unknown += place is None
        outline = None if place is None else _ring_of(place)
        cell = _Cell(image, str(existing), _class_of(place), outline, _run(place))
        xy = (np.nan, np.nan) if outline is None else tuple(ring_centroid(outline).tolist())
        changes.append(cell.change("reclassified", name or "", xy))
    notes = (
        [f"{unknown} corrected cells are in no result that is left; they are kept by place"]
        if unknown
        else []
    )
    return changes, notes


class _Cell:
    """A changed cell with what was written of it."""

    def __init__(
        self, image: str, uuid: str, before: str, ring: NDArray[np.float64] | None, run: str
    ) -> None:
        self.image, self.uuid, self.before, self.run = image, uuid, before, run
        self.geometry = None if ring is None else _polygon(ring)

    def change(self, word: str, after: str, xy: tuple[float, ...]) -> Change:
        """Return a change of this cell.

        Parameters
        ----------
        word
            Kind of change, a word of `changes.ASPECTS`.
        after
            Value after the change.
        xy
            Centre in pixels of the full resolution, or NaN where there is none.

        Returns
        -------
        Change
            With the value that was written before.
        """
        x, y = (f"{value:.2f}" if np.isfinite(value) else "" for value in xy)
        before = "" if word == "shifted" else self.before
        return Change(
            self.image, "cell", self.uuid, word, before, after, x, y, run=self.run, geometry=self.geometry
        )


def _polygon(ring: NDArray[np.float64]) -> dict[str, Any]:
    points = np.round(ring, 2).tolist()
    return {"type": "Polygon", "coordinates": [[*points, points[0]]]}


def _uuid(place: tuple[Path, CellTable, int] | None) -> str:
    return "" if place is None else str(UUID(bytes=place[1].uuid[place[2]].tobytes()))


def _run(place: tuple[Path, CellTable, int] | None) -> str:
    return "" if place is None else place[0].name


def _class_of(place: tuple[Path, CellTable, int] | None) -> str:
    if place is None:
        return ""
    code = int(place[1].cell_class[place[2]])
    return "" if code == NOT_MEASURED else place[1].class_names[code]


def _ring_of(place: tuple[Path, CellTable, int]) -> NDArray[np.float64] | None:
    _, table, row = place
    ring = table.outline(row).astype(np.float64)
    return ring if len(ring) >= 3 else None
