"""Territories: which nucleus owns each pixel, by the cheapest path (`grow_territories`) or the nearest contour.

A priority-flood watershed breaks ties by the order in which pixels happened to be queued, so borders would depend on
the tile. Here the owner follows from costs or distances alone, with ties going to the lower number: a pixel has the
same owner in every tile that contains the seeds within reach of it.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.star_contours import FAST_MATH
from qupath_her2.cells.stain_planes import Plane

__all__ = ["STRAIGHT_STEP", "UNOWNED", "grow_territories", "nearest_nucleus_map"]

#: Owner of pixels that no seed reaches.
UNOWNED = -1

#: Cost of a straight step at a price of 1; a diagonal step costs 7/5 of it. 5 and 7 approximate 1 and the square root
#: of 2 in integers (chamfer distances: Borgefors 1986, doi 10.1016/S0734-189X(86)80047-0).
STRAIGHT_STEP = 5
_DIAGONAL_STEP = 7

#: End of a linked list.
_END = -1

_PER_RADIAN = np.float32(1 / (2 * math.pi))


@nb.njit(cache=True, nogil=True)
def _grow(
    owner: NDArray[np.int32], cost: NDArray[np.int32], price: NDArray[np.int32], width: int, limit: int
) -> None:
    """Settle all pixels in order of their cost, in place; flat arrays with rows of `width` pixels.

    Dijkstra's algorithm with one bucket for each integer cost (Dial 1969, doi 10.1145/363269.363610), in linear time.
    All paths that reach a pixel at a given cost come from cheaper pixels, so the lowest seed number among them is known
    by the time that pixel is settled.
    """
    n = len(owner)
    # Buckets are doubly linked lists threaded through the pixels, so that a pixel can be moved to a cheaper bucket in
    # constant time and no memory is allocated while growing.
    first = np.full(limit + 1, _END, np.int32)
    after = np.full(n, _END, np.int32)
    before = np.full(n, _END, np.int32)
    for i in range(n - 1, -1, -1):
        if owner[i] >= 0:
            after[i] = first[cost[i]]
            if after[i] != _END:
                before[after[i]] = i
            first[cost[i]] = i
    for level in range(limit + 1):
        i = first[level]
        while i != _END:
            column = i % width
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    j = i + dy * width + dx
                    if (dy == 0 and dx == 0) or not 0 <= column + dx < width or not 0 <= j < n:
                        continue
                    total = level + (_DIAGONAL_STEP if dy != 0 and dx != 0 else STRAIGHT_STEP) * price[j]
                    if price[j] < 0 or total > limit or total > cost[j]:
                        continue
                    if total == cost[j]:
                        # A tie: the lower seed number wins, whichever path was found first.
                        owner[j] = min(owner[j], owner[i])
                        continue
                    if cost[j] <= limit:
                        # It is queued at a higher cost: unlink it from that bucket.
                        if before[j] == _END:
                            first[cost[j]] = after[j]
                        else:
                            after[before[j]] = after[j]
                        if after[j] != _END:
                            before[after[j]] = before[j]
                    owner[j], cost[j] = owner[i], total
                    before[j], after[j] = _END, first[total]
                    if after[j] != _END:
                        before[after[j]] = j
                    first[total] = j
            i = after[i]


def grow_territories(
    owner: NDArray[np.int32], cost: NDArray[np.int32], price: NDArray[np.int32], limit: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Assign every pixel to the seed from which the cheapest path leads to it.

    Parameters
    ----------
    owner
        int32 (H, W), seed number at seed pixels, `UNOWNED` elsewhere. Ties go to the lower number, so seeds should be
        numbered by their position in the image.
    cost
        int32 (H, W), initial cost at seed pixels; ignored elsewhere.
    price
        int32 (H, W), > 0, price of a step onto each pixel; < 0 marks pixels that no path may enter.
    limit
        Largest cost of a path.

    Returns
    -------
    tuple[NDArray[np.int32], NDArray[np.int32]]
        Owner and cost, int32 (H, W); pixels that are `UNOWNED` have the cost ``limit + 1``.
    """
    shape = owner.shape
    is_seed = (owner != UNOWNED) & (cost <= limit)
    spent = np.where(is_seed, cost, limit + 1).astype(np.int32).ravel()
    owner = np.where(is_seed, owner, UNOWNED).astype(np.int32).ravel()
    _grow(owner, spent, np.ascontiguousarray(price, np.int32).ravel(), shape[1], limit)
    return owner.reshape(shape), spent.reshape(shape)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def _turn(dx: np.float32, dy: np.float32) -> np.float32:
    """Return the direction of a vector as a fraction of a full turn, 0..1, to 3e-7, without branches.

    Hastings C. "Approximations for digital computers." Princeton University Press, 1955, sheet 11. Unlike the library's
    arctangent it is vectorised.
    """
    wide, high = abs(dx), abs(dy)
    # Away from 0 for the centre itself, whose direction means nothing.
    t = min(wide, high) / max(max(wide, high), np.float32(1e-9))
    t2 = t * t
    turn = np.float32(0.05265332) - np.float32(0.01172120) * t2
    turn = np.float32(0.19354346) + t2 * (np.float32(-0.11643287) + t2 * turn)
    turn = t * (np.float32(0.99997726) + t2 * (np.float32(-0.33262347) + t2 * turn)) * _PER_RADIAN
    turn = np.float32(0.25) - turn if high > wide else turn
    turn = np.float32(0.5) - turn if dx < 0 else turn
    return np.float32(1) - turn if dy < 0 else turn


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def _claim(
    centres: NDArray[np.float64],
    radii: NDArray[np.float32],
    reach: float,
    owner: NDArray[np.int32],
    distance: Plane,
) -> None:
    """Enter the nearest nucleus and the distance to its contour for every pixel within `reach`, in place."""
    height, width = owner.shape
    n_angles = radii.shape[1]
    closed, within = np.empty(n_angles + 2, np.float32), np.float32(reach)
    place, away = np.empty(width, np.float32), np.empty(width, np.float32)
    for k in range(len(radii)):
        largest = radii[k, 0]
        for a in range(n_angles + 2):
            closed[a] = radii[k, a % n_angles]
            largest = max(largest, closed[a])
        x, y, far = centres[k, 0], centres[k, 1], largest + reach
        left, right = max(int(x - far), 0), min(int(x + far) + 2, width)
        first = np.float32(left - x)
        for row in range(max(int(y - far), 0), min(int(y + far) + 2, height)):
            owners, distances, dy = owner[row, left:right], distance[row, left:right], np.float32(row - y)
            # Three loops, of which the first and the last have neither branches nor look-ups and are vectorised.
            for column in range(len(owners)):
                dx = first + np.float32(column)
                place[column] = _turn(dx, dy) * np.float32(n_angles)
                away[column] = np.sqrt(dx * dx + dy * dy)
            for column in range(len(owners)):
                whole = np.uint32(place[column])
                u = place[column] - np.float32(whole)
                away[column] -= closed[whole] + (closed[whole + np.uint32(1)] - closed[whole]) * u
            for column in range(len(owners)):
                nearer = away[column] < min(distances[column], within)
                distances[column] = away[column] if nearer else distances[column]
                owners[column] = k if nearer else owners[column]


def nearest_nucleus_map(
    shape: tuple[int, int], centres: NDArray[np.float64], radii: NDArray[np.float32], reach_px: float
) -> tuple[NDArray[np.int32], Plane]:
    """Assign every pixel to the nucleus whose contour is nearest, at half the resolution.

    Half the resolution is enough because the border between two nuclei is only the expected position of an outline.
    Distances are measured along rays from the nuclei instead of by a distance transform of a label image: the sweeps of
    a distance transform settle near-ties by their direction, so that a rotated image got different borders.

    Parameters
    ----------
    shape
        (H, W) of the tile.
    centres, radii
        float64 (N, 2) and (N, A), nuclear contours, pixels of the tile.
    reach_px
        Pixels farther than this from every contour belong to no nucleus.

    Returns
    -------
    tuple[NDArray[np.int32], Plane]
        int32 (ceil(H / 2), ceil(W / 2)), index of the nucleus, `UNOWNED` for none; and float32 of the same shape,
        distance to its contour, pixels of the half grid, negative inside, infinite where there is no nucleus.
    """
    height, width = shape
    owner = np.full((-(-height // 2), -(-width // 2)), UNOWNED, np.int32)
    distance = np.full(owner.shape, np.inf, np.float32)
    # Pixel centres of the tile to those of the half grid.
    _claim((centres + 0.5) / 2 - 0.5, radii / np.float32(2), reach_px / 2, owner, distance)
    return owner, distance
