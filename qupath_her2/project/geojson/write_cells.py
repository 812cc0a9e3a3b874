"""Streaming GeoJSON writer: a table of cells as a file that QuPath 0.5 to 0.7 imports.

QuPath 0.6 and later refuse a whole file for one outline that intersects itself on their grid of 0.01 px. Outlines are
therefore snapped to that grid first, checked there by GEOS (the C++ port of JTS, which QuPath uses), repaired if that
changes them by less than 1 %, and otherwise omitted and counted. The ``geojson`` package is not used: it builds the
whole collection as Python objects (``tests/benchmarks/bench_geojson.py`` compares the two).
"""

from __future__ import annotations

import queue
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from qupath_her2.project.class_names import class_colour, split_class
from qupath_her2.project.geojson.feature_bytes import format_cells
from qupath_her2.project.geojson.geometry import MAX_REPAIR_SHARE, polygon_parts
from qupath_her2.project.geojson.ring_checks import are_star_shaped
from qupath_her2.records import CellTable

__all__ = ["CellsWritten", "cells_geojson", "write_cells_geojson"]

#: Cells formatted at a time: some 40 MB of buffers.
CHUNK_CELLS = 16_384
#: zlib's fastest level shrinks the text fourfold; level 6 saves another quarter but takes five times as long.
GZIP_LEVEL = 1
_GRID_PER_PX = 100
# In hundredths of a pixel this still fits into int32, and it is far beyond any slide.
_MAX_PX = 20_000_000

_Rings = tuple[NDArray[np.int32], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class CellsWritten:
    """Numbers of cells written, outlines repaired, cells omitted, and unusable nuclei omitted from written cells."""

    n_cells: int
    n_repaired: int
    n_omitted: int
    n_nuclei_omitted: int


@dataclass(slots=True)
class _Counts:
    repaired: int = 0
    omitted: int = 0
    nuclei_omitted: int = 0


def write_cells_geojson(
    file: IO[bytes],
    cells: CellTable,
    *,
    compress: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> CellsWritten:
    """Write cells as a FeatureCollection of QuPath cells.

    Each feature has a closed outline and, where present, a nucleus (a top-level ``nucleusGeometry``), coordinates in
    level-0 pixels with two decimals, its class with QuPath's colour, and its measurements as short decimals that read
    back as the same float32. NaN is omitted. The same table gives the same bytes.

    Parameters
    ----------
    file
        Open for binary writing.
    cells
        The table; a cell whose class is 255 (not measured) is written without a class.
    compress
        Write a gzip stream instead of plain text.
    progress
        Called with the number of cells written so far and the total.

    Returns
    -------
    CellsWritten
        Numbers of cells written, repaired and omitted.
    """
    counts = _Counts()
    chunks = _feature_chunks(cells, counts, progress)
    if compress:
        _compress_into(file, chunks)
    else:
        for chunk in chunks:
            file.write(chunk)
    n_written = len(cells) - counts.omitted
    return CellsWritten(n_written, counts.repaired, counts.omitted, counts.nuclei_omitted)


def cells_geojson(cells: CellTable) -> Iterator[bytes | memoryview]:
    """Yield the same text as `write_cells_geojson` writes without compression, some thousand cells at a time."""
    return _feature_chunks(cells, _Counts(), None)


def _feature_chunks(
    cells: CellTable, counts: _Counts, progress: Callable[[int, int], None] | None
) -> Iterator[bytes | memoryview]:
    yield b'{"type":"FeatureCollection","features":['
    # The empty text at the end is the class of cells that are not measured.
    classes = _concatenate([_class_json(name) for name in cells.class_names] + [b""])
    keys = _concatenate([orjson.dumps(name) + b":" for name in cells.measurement_names])
    is_first = True
    for start in range(0, len(cells), CHUNK_CELLS):
        stop = min(start + CHUNK_CELLS, len(cells))
        outlines, n_repaired = _valid_rings(_grid_rings(cells.cell_xy, cells.cell_offsets, start, stop))
        nuclei, n_nuclei_repaired = _valid_rings(
            _grid_rings(cells.nucleus_xy, cells.nucleus_offsets, start, stop)
        )
        has_outline = np.diff(outlines[1]) > 0
        had_nucleus = np.diff(cells.nucleus_offsets[start : stop + 1]) > 0
        counts.repaired += n_repaired + n_nuclei_repaired
        counts.omitted += int((~has_outline).sum())
        counts.nuclei_omitted += int((has_outline & had_nucleus & (np.diff(nuclei[1]) == 0)).sum())
        text = format_cells(
            cells.uuid[start:stop],
            outlines,
            nuclei,
            np.minimum(cells.cell_class[start:stop], len(cells.class_names)),
            classes,
            cells.measurements[start:stop],
            keys,
        )
        if len(text):
            # Every feature starts with ",\n"; the first one of the file must not have the comma.
            yield text[1:] if is_first else text
            is_first = False
        if progress is not None:
            progress(stop, len(cells))
    yield b"\n]}\n"


def _class_json(name: str) -> bytes:
    parts = split_class(name)
    # As QuPath writes it: "name" for a simple class, "names" for a derived one.
    named = {"name": parts[0]} if len(parts) == 1 else {"names": parts}
    return b'"classification":' + orjson.dumps({**named, "color": class_colour(name)}) + b","


def _concatenate(texts: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return np.frombuffer(b"".join(texts), np.uint8), offsets


def _grid_rings(xy: NDArray[np.float32], offsets: NDArray[np.int64], start: int, stop: int) -> _Rings:
    """Return rings `start` to `stop` (excluded) in hundredths of a pixel; rings that are not finite become empty."""
    first, last = offsets[start], offsets[stop]
    points = xy[first:last].astype(np.float64)
    bounds = offsets[start : stop + 1] - first
    usable = np.isfinite(points).all(axis=1) & (np.abs(points) < _MAX_PX).all(axis=1)
    if not usable.all():
        counts = np.diff(bounds)
        owner = np.repeat(np.arange(len(counts)), counts)
        keep_ring = np.ones(len(counts), bool)
        keep_ring[owner[~usable]] = False
        points = points[keep_ring[owner]]
        bounds = np.concatenate([[0], np.cumsum(np.where(keep_ring, counts, 0))])
    return np.rint(points * _GRID_PER_PX).astype(np.int32), bounds


def _valid_rings(rings: _Rings) -> tuple[_Rings, int]:
    """Return rings that QuPath accepts, with unusable ones emptied, and the number of repaired ones."""
    points, offsets = rings
    counts = np.diff(offsets)
    usable = np.flatnonzero(counts >= 3)
    # Most outlines are proven valid in a tenth of the time that GEOS takes; GEOS checks the rest.
    doubtful = usable[~are_star_shaped(points, offsets)[usable]]
    polygons = _polygons(points, offsets, doubtful)
    is_valid = shapely.is_valid(polygons) & (shapely.area(polygons) > 0)
    if is_valid.all() and len(usable) == len(counts):
        return rings, 0
    replacements = {
        int(i): _repair(polygon) for i, polygon in zip(doubtful[~is_valid], polygons[~is_valid], strict=True)
    }
    replacements |= {
        int(i): np.empty((0, 2), np.int32) for i in np.flatnonzero((counts == 1) | (counts == 2))
    }
    if replacements:
        parts = np.split(points, offsets[1:-1])
        for i, ring in replacements.items():
            parts[i] = ring
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        points = np.concatenate(parts)
    return (points, offsets), sum(len(ring) > 0 for ring in replacements.values())


def _polygons(
    points: NDArray[np.int32], offsets: NDArray[np.int64], usable: NDArray[np.int64]
) -> NDArray[np.object_]:
    """Return the rings with the indices `usable` as shapely polygons, in hundredths of a pixel."""
    if not len(usable):
        return np.empty(0, object)
    counts = np.diff(offsets)
    owner = np.repeat(np.arange(len(counts)), counts)
    # shapely wants consecutive ring numbers, one per vertex.
    number = np.full(len(counts), -1)
    number[usable] = np.arange(len(usable))
    keep = number[owner] >= 0
    # linearrings() closes open rings itself.
    polygons: NDArray[np.object_] = shapely.polygons(
        shapely.linearrings(points[keep].astype(np.float64), indices=number[owner[keep]])
    )
    return polygons


def _repair(polygon: shapely.Polygon) -> NDArray[np.int32]:
    """Return the largest valid part as a ring on the grid; empty if that changes the area by 1 % or more."""
    repaired = polygon_parts(shapely.make_valid(polygon))
    empty = np.empty((0, 2), np.int32)
    if repaired is None:
        return empty
    largest = max(getattr(repaired, "geoms", [repaired]), key=lambda part: part.area)
    ring = np.rint(shapely.get_coordinates(largest.exterior)[:-1])
    snapped = shapely.Polygon(ring) if len(ring) >= 3 else shapely.Polygon()
    # All parts together are the cell as drawn; without more than a sliver of it, it would be a different cell.
    loss = abs(repaired.area - snapped.area) / repaired.area
    return ring.astype(np.int32) if snapped.is_valid and loss < MAX_REPAIR_SHARE else empty


def _compress_into(file: IO[bytes], chunks: Iterator[bytes | memoryview]) -> None:
    """Write one gzip stream; compression and formatting both release the GIL and run in parallel."""
    # 31 is a gzip header without a time stamp, unlike that of the gzip module.
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    waiting: queue.Queue[bytes | memoryview | None] = queue.Queue(maxsize=2)
    failures: list[OSError] = []

    def pack() -> None:
        while (chunk := waiting.get()) is not None:
            # After a failure the queue is drained all the same, or the producer would block for ever.
            if failures:
                continue
            try:
                file.write(packer.compress(chunk))
            except OSError as error:
                failures.append(error)

    worker = threading.Thread(target=pack, name="gzip")
    worker.start()
    try:
        for chunk in chunks:
            if failures:
                break
            waiting.put(chunk)
    finally:
        waiting.put(None)
        worker.join()
    if failures:
        raise failures[0]
    file.write(packer.flush())
