"""Polygons as pixels: a pixel belongs to a shape where its centre does, and nothing else decides.

QuPath's (0, 0) is the corner of the first pixel, whose centre is therefore (0.5, 0.5). `cv2.fillPoly` would count
every pixel that an outline touches: half a pixel more all round, a third of the area of a thin membrane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

__all__ = ["Rings", "coverage", "rings_of", "rings_that_meet"]

_Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rings:
    """R outlines as columns.

    Attributes
    ----------
    xy, offsets
        float64 (P, 2) and int64 (R + 1); vertices of ring i are ``xy[o[i]:o[i + 1]]``, open or closed.
    is_hole
        bool (R,), rings that take away from the shape around them.
    """

    xy: _Doubles
    offsets: NDArray[np.int64]
    is_hole: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.is_hole)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Vertices of each ring, int64 (R,)."""
        return np.diff(self.offsets)

    def moved(self, x: float, y: float, downsample: float) -> Rings:
        """Return the rings in pixels of a picture whose corner lies at (x, y), `downsample` of theirs wide each."""
        return Rings((self.xy - (x, y)) / downsample, self.offsets, self.is_hole)

    def chosen(self, which: NDArray[np.int64]) -> Rings:
        """Return the rings with these indices, int64 (K,), in this order."""
        lengths = self.lengths[which]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[which] - offsets[:-1], lengths)
        return Rings(self.xy[places], offsets, self.is_hole[which])


def rings_of(shapes: Sequence[shapely.Geometry]) -> Rings:
    """Return the rings of polygons and multipolygons; points and lines among them have no area and give none."""
    parts = shapely.get_parts(np.asarray(shapes, object).reshape(-1))
    # A collection's parts may be multipolygons.
    parts = shapely.get_parts(parts)
    polygons = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    rings, owner = shapely.get_rings(polygons, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(ring, minlength=len(rings)))])
    # A polygon's first ring is its shell.
    is_hole = np.zeros(len(rings), bool)
    is_hole[1:] = owner[1:] == owner[:-1]
    return Rings(xy, offsets.astype(np.int64), is_hole)


def rings_that_meet(rings: Rings, bounds: tuple[float, float, float, float]) -> NDArray[np.int64]:
    """Return the indices of rings of three vertices or more whose bounding boxes meet a box.

    Parameters
    ----------
    rings
        R outlines.
    bounds
        Min x, min y, max x, max y, in their frame.
    """
    drawn = np.flatnonzero(rings.lengths >= 1)
    if len(drawn) == 0:
        return drawn
    # Empty rings hold no vertex, so that each range ends where the next drawn one begins.
    low = np.minimum.reduceat(rings.xy, rings.offsets[drawn])
    high = np.maximum.reduceat(rings.xy, rings.offsets[drawn])
    meets = (high >= bounds[:2]).all(axis=1) & (low <= bounds[2:]).all(axis=1)
    return drawn[meets & (rings.lengths[drawn] >= 3)]


def coverage(rings: Rings, width_px: int, height_px: int) -> NDArray[np.int32]:
    """Return how many shapes hold the centre of each pixel, int32 (height, width).

    Every crossing of an outline with a row of centres is a step up or down there; the running sum along the row
    is the winding number (Hormann & Agathos 2001, doi 10.1016/S0925-7721(01)00012-8), rings being turned one way
    and holes the other. So overlapping shapes add up, and neighbours that share an edge share no pixel.

    Parameters
    ----------
    rings
        In pixels of the picture, (0, 0) its top left corner; they may reach beyond it.
    width_px, height_px
        Of the picture.
    """
    x0, y0 = rings.xy.T
    following = np.arange(1, len(rings.xy) + 1)
    drawn = rings.lengths > 0
    following[rings.offsets[1:][drawn] - 1] = rings.offsets[:-1][drawn]
    x1, y1 = rings.xy[following].T
    turn = _turns(rings, x0, y0, x1, y1) * np.where(y1 < y0, 1, -1)
    # A centre on an edge belongs to the shape below or right of it, to one of two neighbours.
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height_px).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height_px).astype(np.int64)
    n = last - first
    edge = np.repeat(np.arange(len(n)), n)
    row = np.arange(len(edge)) + np.repeat(first - (np.cumsum(n) - n), n)
    slope = np.divide(x1 - x0, y1 - y0, out=np.zeros(len(n)), where=y1 != y0)
    x = x0[edge] + (row + 0.5 - y0[edge]) * slope[edge]
    column = np.clip(np.ceil(x - 0.5), 0, width_px).astype(np.int64)
    places = row * (width_px + 1) + column
    steps = np.bincount(places, turn[edge], minlength=height_px * (width_px + 1))
    return np.cumsum(steps.reshape(height_px, width_px + 1)[:, :width_px], axis=1).astype(np.int32)


def _turns(rings: Rings, x0: _Doubles, y0: _Doubles, x1: _Doubles, y1: _Doubles) -> NDArray[np.int64]:
    """Return for each edge what its ring counts, 1 or -1, whichever way round it was drawn."""
    ring = np.repeat(np.arange(len(rings)), rings.lengths)
    area = np.bincount(ring, x0 * y1 - x1 * y0, minlength=len(rings))
    return (np.where(area < 0, -1, 1) * np.where(rings.is_hole, -1, 1))[ring]
