"""Existing cells: detections already in a region file (QuPath, StarDist, InstanSeg, Cellpose), as columns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

__all__ = ["CellCollector", "ExistingCells", "largest_ring"]


@dataclass(frozen=True, slots=True)
class ExistingCells:
    """A table of N existing cells, to be classified in place.

    Attributes
    ----------
    uuid
        uint8 (N, 16), big-endian bytes.
    cell_xy, cell_offsets
        float32 (P, 2), int64 (N + 1): outlines as open rings, level-0 pixels.
    nucleus_xy, nucleus_offsets
        The same for nuclei; an empty range means no nucleus.
    class_names
        Present class of each cell, None for unclassified; removing our results restores it.
    is_cell
        bool (N,), False for plain detections, whose outline may be that of a nucleus.
    measurement_names
        QuPath's names of the M measurements; empty if the file has none.
    measurements
        float32 (N, M), NaN where a cell lacks a measurement.
    """

    uuid: NDArray[np.uint8]
    cell_xy: NDArray[np.float32]
    cell_offsets: NDArray[np.int64]
    nucleus_xy: NDArray[np.float32]
    nucleus_offsets: NDArray[np.int64]
    class_names: tuple[str | None, ...]
    is_cell: NDArray[np.bool_]
    measurement_names: tuple[str, ...] = ()
    measurements: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def column(self, name: str) -> NDArray[np.float32]:
        """Return a measurement, float32 (N,), by its name, whatever the order of its components.

        QuPath 0.5 writes ``DAB: Membrane: Mean`` where 0.6 and later write ``Membrane: DAB: Mean``. The KeyError of an
        unknown name lists the known ones.
        """
        wanted = sorted(name.split(": "))
        exact = [i for i, known in enumerate(self.measurement_names) if known == name]
        reordered = [
            i for i, known in enumerate(self.measurement_names) if sorted(known.split(": ")) == wanted
        ]
        if not exact and not reordered:
            raise KeyError(f"no measurement {name!r}; there are: {', '.join(self.measurement_names)}")
        values: NDArray[np.float32] = self.measurements[:, (exact or reordered)[0]]
        return values

    def __len__(self) -> int:
        return len(self.uuid)

    def digest(self) -> str:
        """Return the SHA-256 of UUIDs and outlines, for the input hash.

        Classes are left out, or our own classification of the cells would make its result stale.
        """
        digest = hashlib.sha256()
        for column in (self.uuid, self.cell_offsets, self.cell_xy, self.nucleus_offsets, self.nucleus_xy):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()


@dataclass(slots=True)
class CellCollector:
    """Collects cells one at a time; `table` turns them into columns."""

    uuids: list[bytes] = field(default_factory=list)
    outlines: list[NDArray[np.float32]] = field(default_factory=list)
    nuclei: list[NDArray[np.float32]] = field(default_factory=list)
    class_names: list[str | None] = field(default_factory=list)
    is_cell: list[bool] = field(default_factory=list)

    def add(
        self,
        uuid: UUID,
        cell: Polygon | MultiPolygon,
        nucleus: Polygon | MultiPolygon | None,
        class_name: str | None,
        *,
        is_cell: bool,
    ) -> None:
        """Add one cell.

        Parameters
        ----------
        uuid
            UUID of the object.
        cell
            Outline in level-0 pixels; of several parts the largest is kept, and holes are filled.
        nucleus
            Outline of the nucleus, None if there is none.
        class_name
            Present class, None for unclassified.
        is_cell
            False for a plain detection.
        """
        self.uuids.append(uuid.bytes)
        self.outlines.append(largest_ring(cell))
        self.nuclei.append(np.empty((0, 2), np.float32) if nucleus is None else largest_ring(nucleus))
        self.class_names.append(class_name)
        self.is_cell.append(is_cell)

    def table(self) -> ExistingCells | None:
        """Return the collected cells, None if there are none."""
        if not self.uuids:
            return None
        cell_xy, cell_offsets = _ragged(self.outlines)
        nucleus_xy, nucleus_offsets = _ragged(self.nuclei)
        return ExistingCells(
            # frombuffer is read-only; the copy is not.
            uuid=np.frombuffer(b"".join(self.uuids), np.uint8).reshape(-1, 16).copy(),
            cell_xy=cell_xy,
            cell_offsets=cell_offsets,
            nucleus_xy=nucleus_xy,
            nucleus_offsets=nucleus_offsets,
            class_names=tuple(self.class_names),
            is_cell=np.array(self.is_cell),
        )


def largest_ring(shape: Polygon | MultiPolygon) -> NDArray[np.float32]:
    """Return the outline of the largest part as an open ring, float32 (K, 2), level-0 pixels."""
    largest = max(getattr(shape, "geoms", [shape]), key=lambda part: part.area)
    ring: NDArray[np.float32] = shapely.get_coordinates(largest.exterior)[:-1].astype(np.float32)
    return ring


def _ragged(rings: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    offsets = np.zeros(len(rings) + 1, np.int64)
    np.cumsum([len(ring) for ring in rings], out=offsets[1:])
    return np.concatenate(rings), offsets
