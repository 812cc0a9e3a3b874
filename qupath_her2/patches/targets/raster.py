"""Exact rasterisation of polygons: a pixel belongs to a shape if and only if its centre does.

In QuPath (0, 0) is the corner of the first pixel, so that pixel's centre is at (0.5, 0.5). `cv2.fillPoly` would also
fill every pixel that an outline touches: half a pixel more all round, a third of the area of a thin membrane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

__all__ = ["Rings", "coverage", "polygon_rings", "rings_in_box"]

_Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rings:
    """R rings of polygons, as columns.

    Attributes
    ----------
    xy, offsets
        float64 (P, 2) and int64 (R + 1,); the vertices of ring i are ``xy[offsets[i]:offsets[i + 1]]``, with or without
        the first one repeated at the end.
    is_hole
        bool (R,), True for inner rings.
    """

    xy: _Doubles
    offsets: NDArray[np.int64]
    is_hole: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.is_hole)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of vertices of each ring, int64 (R,)."""
        return np.diff(self.offsets)

    def to_window(self, x: float, y: float, downsample: float) -> Rings:
        """Return the rings in pixels of a window.

        Parameters
        ----------
        x, y
            Top left corner of the window, in the rings' coordinates.
        downsample
            Size of a pixel of the window, in the rings' coordinates.

        Returns
        -------
        Rings
            The same rings, with (0, 0) at the window's corner.
        """
        return Rings((self.xy - (x, y)) / downsample, self.offsets, self.is_hole)

    def select(self, which: NDArray[np.int64]) -> Rings:
        """Return the rings with these indices, int64 (K,), in this order."""
        lengths = self.lengths[which]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        # Index of each vertex kept: its rank among the kept ones, shifted from its ring's new start to its old one.
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[which] - offsets[:-1], lengths)
        return Rings(self.xy[places], offsets, self.is_hole[which])


def polygon_rings(shapes: Sequence[shapely.Geometry]) -> Rings:
    """Return the rings of polygons and multipolygons; points and lines are ignored, since they have no area."""
    parts = shapely.get_parts(np.asarray(shapes, object).reshape(-1))
    # Again: the parts of a geometry collection may be multipolygons.
    parts = shapely.get_parts(parts)
    polygons = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    rings, owner = shapely.get_rings(polygons, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(ring, minlength=len(rings)))])
    # The first ring of each polygon is its exterior.
    is_hole = np.zeros(len(rings), bool)
    is_hole[1:] = owner[1:] == owner[:-1]
    return Rings(xy, offsets.astype(np.int64), is_hole)


def rings_in_box(rings: Rings, bounds: tuple[float, float, float, float]) -> NDArray[np.int64]:
    """Return the indices of rings with at least three vertices whose bounding boxes intersect a box.

    Parameters
    ----------
    rings
        R rings.
    bounds
        Min x, min y, max x, max y, in the rings' coordinates.

    Returns
    -------
    NDArray[np.int64]
        int64 (K,), ascending.
    """
    drawn = np.flatnonzero(rings.lengths >= 1)
    if len(drawn) == 0:
        return drawn
    # reduceat takes each range up to the next start. Empty rings are left out, as for them it would return the vertex
    # that follows; having no vertices, they leave no gap between the other ranges.
    low = np.minimum.reduceat(rings.xy, rings.offsets[drawn])
    high = np.maximum.reduceat(rings.xy, rings.offsets[drawn])
    meets = (high >= bounds[:2]).all(axis=1) & (low <= bounds[2:]).all(axis=1)
    return drawn[meets & (rings.lengths[drawn] >= 3)]


def coverage(rings: Rings, width_px: int, height_px: int) -> NDArray[np.int32]:
    """Count the shapes that contain the centre of each pixel.

    Each crossing of an outline with a row of pixel centres adds a step of +1 or -1 there, and the running sum along
    the row is the winding number (Hormann & Agathos 2001, doi 10.1016/S0925-7721(01)00012-8), with exteriors oriented
    one way and holes the other. Overlapping shapes add up, and neighbours with a common edge share no pixel.

    Parameters
    ----------
    rings
        Rings in pixels of the window, (0, 0) its top left corner; they may extend beyond it.
    width_px, height_px
        Size of the window, px.

    Returns
    -------
    NDArray[np.int32]
        int32 (height_px, width_px).
    """
    # Edges run from (x0, y0) to (x1, y1); the last vertex of a ring is followed by its first.
    x0, y0 = rings.xy.T
    following = np.arange(1, len(rings.xy) + 1)
    drawn = rings.lengths > 0
    following[rings.offsets[1:][drawn] - 1] = rings.offsets[:-1][drawn]
    x1, y1 = rings.xy[following].T
    sign = _edge_signs(rings, x0, y0, x1, y1) * np.where(y1 < y0, 1, -1)
    # Rows whose centres an edge crosses, half open: a centre exactly on an edge belongs to the shape below it or to
    # its right, so to one of two neighbours. Horizontal edges cross no row.
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height_px).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height_px).astype(np.int64)
    n = last - first
    # One entry per crossing: its edge, and its row.
    edge = np.repeat(np.arange(len(n)), n)
    row = np.arange(len(edge)) + np.repeat(first - (np.cumsum(n) - n), n)
    slope = np.divide(x1 - x0, y1 - y0, out=np.zeros(len(n)), where=y1 != y0)
    x = x0[edge] + (row + 0.5 - y0[edge]) * slope[edge]
    # First pixel whose centre is right of the crossing. The extra column takes the crossings beyond the right edge,
    # so that no step of a row spills into the next one.
    column = np.clip(np.ceil(x - 0.5), 0, width_px).astype(np.int64)
    places = row * (width_px + 1) + column
    steps = np.bincount(places, sign[edge], minlength=height_px * (width_px + 1))
    return np.cumsum(steps.reshape(height_px, width_px + 1)[:, :width_px], axis=1).astype(np.int32)


def _edge_signs(rings: Rings, x0: _Doubles, y0: _Doubles, x1: _Doubles, y1: _Doubles) -> NDArray[np.int64]:
    """Return +1 or -1 for each edge, so that exteriors count up and holes down whichever way they were drawn."""
    # The sign of the shoelace sum is the ring's orientation.
    ring = np.repeat(np.arange(len(rings)), rings.lengths)
    area = np.bincount(ring, x0 * y1 - x1 * y0, minlength=len(rings))
    return (np.where(area < 0, -1, 1) * np.where(rings.is_hole, -1, 1))[ring]
