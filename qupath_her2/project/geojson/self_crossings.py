"""Outlines that cross themselves, filled by the two rules that programs use, in bounded time.

Noding an outline costs as much as it has crossings, up to the square of its vertices: 300 random points cross 10,000
times, and `shapely.make_valid` takes half a minute over them. Crossings are therefore counted first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

__all__ = ["MAX_CROSSINGS", "crosses_too_often", "fill_even_odd", "fill_non_zero"]

#: Most crossings of an outline that is repaired; a hand that slips leaves a few, and each costs some 0.05 ms.
MAX_CROSSINGS = 2_000
#: Most pairs of segments on one another where a ring goes round and round; a million take some 3 s.
_MAX_REPEATED = 400_000
#: Segments compared with all others in the first step; each step has twice as many.
_FIRST_STEP = 64


def crosses_too_often(shape: Polygon | MultiPolygon) -> bool:
    """Return whether the outlines of a shape cross in more than `MAX_CROSSINGS` places.

    Neighbours that share a vertex do not count, nor do stretches that are drawn twice, unless they are crossed.
    """
    # In random order, the pairs found among the first segments foretell those of twice as many.
    segments = np.random.default_rng(0).permutation(_unique_segments(shape))
    lines = shapely.linestrings(segments.reshape(-1, 2, 2))
    tree = shapely.STRtree(lines)
    # A crossing of two stretches that are each drawn sixty times is noded 3,600 times, and each stretch with itself.
    drawn = _distinct(shapely.polygons(shapely.get_rings(shapely.get_parts(shape))))
    n_drawn = int(shapely.get_num_coordinates(drawn).sum())
    repeats = n_drawn / max(len(segments), 1)
    if repeats > 2 and n_drawn * repeats > _MAX_REPEATED:
        return True
    crossings, touches, first, step = 0, 0, 0, _FIRST_STEP
    while first < len(segments):
        one, other = tree.query(lines[first : first + step], "intersects")
        one += first
        is_pair = one != other
        share_end = _share_end(segments[one[is_pair]], segments[other[is_pair]])
        crossings += int((~share_end).sum())
        touches += int(share_end.sum())
        # Each pair is met twice. A vertex makes one pair of its two segments, or six of four where an outline touches
        # itself; more than that at every vertex is a star of spikes.
        if (
            crossings * max(repeats, 1) ** 2 > 2 * MAX_CROSSINGS
            or touches > 8 * len(segments) + 2 * MAX_CROSSINGS
        ):
            return True
        first, step = first + step, 2 * step
    return False


def _share_end(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which segments, float64 (K, 4) each, have an end in common."""
    ends = (slice(0, 2), slice(2, 4))
    shared = [(one[:, i] == other[:, j]).all(1) for i in ends for j in ends]
    result: NDArray[np.bool_] = np.logical_or.reduce(shared)
    return result


def _unique_segments(shape: Polygon | MultiPolygon) -> NDArray[np.float64]:
    """Return the segments of all rings as float64 (K, 4), x and y of the smaller end first, each once."""
    rings = shapely.get_rings(shapely.get_parts(shape))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    inner = ring[1:] == ring[:-1]
    start, end = xy[:-1][inner], xy[1:][inner]
    swap = (start[:, 0] > end[:, 0]) | ((start[:, 0] == end[:, 0]) & (start[:, 1] > end[:, 1]))
    segments = np.where(swap[:, None], np.hstack([end, start]), np.hstack([start, end]))
    has_length = (segments[:, :2] != segments[:, 2:]).any(1)
    return np.unique(segments[has_length], axis=0)


def fill_even_odd(shape: Polygon | MultiPolygon) -> shapely.Geometry:
    """Return the area that is inside after an odd number of outlines from outside, as `shapely.make_valid` fills it.

    Layers are peeled from the outside, each stretch of outline counting once however often it is drawn. GEOS peels
    them one by one; here their depth is a breadth-first search from face to face.
    """
    # A ring that is repeated a thousand times would cross each of its copies.
    lines = shapely.multilinestrings(shapely.linestrings(_unique_segments(shape).reshape(-1, 2, 2)))
    faces = shapely.get_parts(shapely.polygonize([shapely.union_all(lines)]))
    if len(faces) == 0:
        return Polygon()
    return shapely.union_all(faces[_depths(faces) % 2 == 1])


def _depths(faces: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the number of edges between each face and the outside, int64 (N,)."""
    rings, face = shapely.get_rings(faces, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    vertex = _numbered(xy)
    inner = ring[1:] == ring[:-1]
    edge = _numbered(np.sort(np.stack([vertex[:-1][inner], vertex[1:][inner]], 1), axis=1))
    owner = face[ring[1:][inner]]
    # An edge lies between two faces, or between one and the outside, which is node number len(faces).
    order = np.argsort(edge, kind="stable")
    edge, owner = edge[order], owner[order]
    is_first = np.r_[True, edge[1:] != edge[:-1]]
    one = owner[is_first]
    other = np.full(len(one), len(faces))
    other[edge[~is_first]] = owner[~is_first]
    n = len(faces) + 1
    graph = scipy.sparse.coo_array((np.ones(len(one)), (one, other)), (n, n))
    depths = scipy.sparse.csgraph.dijkstra(graph.tocsr(), directed=False, indices=len(faces), unweighted=True)
    rounded: NDArray[np.int64] = np.rint(depths[:-1]).astype(np.int64)
    return rounded


def _numbered(rows: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return a number for each row, equal for equal rows, int64 (K,)."""
    number: NDArray[np.int64] = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
    return number


def fill_non_zero(shape: Polygon | MultiPolygon) -> shapely.Geometry:
    """Return the area that the outlines of a shape wind around at least once, less that of its holes.

    A hole takes away from its own polygon alone, and never adds area where it lies outside.
    """
    parts = []
    for polygon in _distinct(shapely.get_parts(shape)):
        outer = _wound(Polygon(polygon.exterior))
        holes = _distinct([Polygon(ring) for ring in polygon.interiors])
        parts.append(shapely.difference(outer, _wound(MultiPolygon(holes))) if holes else outer)
    return shapely.union_all(parts)


def _distinct(polygons: Sequence[Polygon] | NDArray[np.object_]) -> list[Polygon]:
    """Return each of equal polygons once, wherever their rings start."""
    keys = shapely.to_wkb(shapely.normalize(polygons))
    return list(dict(zip(keys, polygons, strict=True)).values())


def _wound(shape: Polygon | MultiPolygon) -> shapely.Geometry:
    return shapely.make_valid(shape, method="structure", keep_collapsed=False)
