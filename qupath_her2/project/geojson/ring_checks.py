"""A quick proof that a ring is sound, for the many outlines that need no closer look."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["are_stars"]

# Products of two such offsets, and their difference, stay far inside int64.
_MAX_REACH = 1_000_000_000


@numba.njit(cache=True, nogil=True, error_model="numpy")
def are_stars(points: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rings are star-shaped about their mean vertex: valid polygons with an area.

    Seen from the centre every edge must turn the same way, strictly, and all edges together once around: then
    no two edges can meet except at their shared vertex. In integers, so exact; False proves nothing.

    Parameters
    ----------
    points
        int32 (P, 2), open rings one after another.
    offsets
        int64 (N + 1).

    Returns
    -------
    NDArray[np.bool_]
        bool (N,)
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
            # Steps of less than half a turn in one direction come up from below once each time round.
            turns += y < 0 <= next_y
            x, y = next_x, next_y
        result[ring] = is_star and turns == 1
    return result
