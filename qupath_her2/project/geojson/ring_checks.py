"""Fast proof of validity for star-shaped outlines, so that GEOS has to check only the others."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["are_star_shaped"]

# Products of two offsets of this size, and their difference, stay well within int64.
_MAX_REACH = 1_000_000_000


@numba.njit(cache=True, nogil=True, error_model="numpy")
def are_star_shaped(points: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rings are star-shaped around their mean vertex, and therefore valid polygons with an area.

    Seen from the centre, every edge must turn strictly in the same direction, and all edges together exactly once
    around: then no two edges can meet except at a shared vertex. Computed in integers, hence exact. False proves
    nothing: a valid ring need not be star-shaped.

    Parameters
    ----------
    points
        int32 (P, 2), open rings one after another, in hundredths of a pixel.
    offsets
        int64 (N + 1); ring i is ``points[offsets[i]:offsets[i + 1]]``.

    Returns
    -------
    NDArray[np.bool_]
        bool (N,), True if the ring is proven valid.
    """
    n = len(offsets) - 1
    result = np.zeros(n, np.bool_)
    for ring in range(n):
        first, last = offsets[ring], offsets[ring + 1]
        count = last - first
        if count < 3:
            continue
        cx, cy = np.int64(0), np.int64(0)
        for i in range(first, last):
            cx += points[i, 0]
            cy += points[i, 1]
        # Any centre will do, so rounding it to the grid keeps everything in integers.
        cx //= count
        cy //= count
        direction, turns, is_star = 0, 0, True
        x, y = points[last - 1, 0] - cx, points[last - 1, 1] - cy
        for i in range(first, last):
            next_x, next_y = points[i, 0] - cx, points[i, 1] - cy
            cross = x * next_y - y * next_x
            sign = 1 if cross > 0 else -1
            direction = sign if direction == 0 else direction
            if cross == 0 or sign != direction or max(abs(next_x), abs(next_y)) > _MAX_REACH:
                is_star = False
                break
            # Each edge spans less than half a turn, so one full turn crosses the x axis upwards exactly once.
            turns += y < 0 <= next_y
            x, y = next_x, next_y
        result[ring] = is_star and turns == 1
    return result
