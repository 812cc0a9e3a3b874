"""The closed path of largest gain through a polar image: the best star-shaped contour around a centre.

It maximises the sum of a gain over all angles, minus a price on changes of radius between neighbouring angles, and
closes on itself; it is found by dynamic programming, independently of the image's orientation.

References
----------
.. [1] Malpica N, et al. "Applying watershed algorithms to the segmentation of clustered nuclei." Cytometry
   28:289-297, 1997 (the usual alternative, which splits elongated nuclei and follows noise).
.. [2] Sun C, Pallottino S. "Circular shortest path in images." Pattern Recognition 36:709-719, 2003.
   doi:10.1016/S0031-3203(02)00085-7 (closed paths by unrolling).
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.star_contours import FAST_MATH

__all__ = ["MAX_STEP", "TOGETHER", "closed_paths", "work_space"]

#: Largest change of radius index between neighbouring angles that `closed_paths` allows.
MAX_STEP = 2
#: Paths found side by side, one in each lane of the processor's vectors: within one image each step would wait for the
#: one before it.
TOGETHER = 8

#: Below every sum of gains: no path comes from outside the radii.
_IMPOSSIBLE = np.float32(-1e9)
_PAD = MAX_STEP * TOGETHER


@nb.njit(cache=True, nogil=True)
def work_space(n_angles: int, n_radii: int) -> NDArray[np.float32]:
    """Return the array that `closed_paths` works in, so that nothing is allocated per contour."""
    # Beside the radii nothing is ever the best, so that no step needs to ask whether it leaves them.
    best = np.full((2 * n_angles + 1, n_radii * TOGETHER + 2 * _PAD), _IMPOSSIBLE, np.float32)
    best[:, _PAD:-_PAD] = 0
    return best


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _advance(
    gain: NDArray[np.float32], angle: int, one: np.float32, two: np.float32, best: NDArray[np.float32]
) -> None:
    """Extend the best sums from an angle to the next; angles beyond a full turn count on.

    `one` and `two` are the prices of a change of radius by one step and by two.
    """
    n_angles, size = gain.shape
    added, before, now = gain[(angle + 1) % n_angles], best[angle], best[angle + 1, _PAD:]
    same, inner, outer = before[2 * TOGETHER :], before[TOGETHER:], before[3 * TOGETHER :]
    innermost, outermost = before, before[4 * TOGETHER :]
    # All radii of all paths in one loop without branches, since only so it is vectorised.
    for k in range(size):
        value = max(same[k], max(inner[k], outer[k]) - one)
        now[k] = max(value, max(innermost[k], outermost[k]) - two) + added[k]


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH, inline="always")
def _step_back(before: NDArray[np.float32], radius: int, lane: int, one: np.float32, two: np.float32) -> int:
    """Return the radius from which the best path came to `radius`."""
    # Ties go to no change of radius, then to the smaller change: the smoother contour. Found again only along the path,
    # which costs less than to note it for every radius.
    at, side = np.uint64(radius * TOGETHER + lane), np.uint64(TOGETHER)
    came, value = radius, before[at + side * np.uint64(2)]
    other = before[at + side] - one
    came, value = (radius - 1, other) if other > value else (came, value)
    other = before[at + side * np.uint64(3)] - one
    came, value = (radius + 1, other) if other > value else (came, value)
    other = before[at] - two
    came, value = (radius - 2, other) if other > value else (came, value)
    other = before[at + side * np.uint64(4)] - two
    return radius + 2 if other > value else came


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _clearest_angles(gain: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the first angle that has the largest gain of each image, which turns with the image, unlike angle 0."""
    n_angles, size = gain.shape
    clear, most = np.zeros(TOGETHER, np.int64), np.full(TOGETHER, _IMPOSSIBLE, np.float32)
    highest = np.empty(size, np.float32)
    for a in range(n_angles):
        row = gain[a]
        for lane in range(TOGETHER):
            highest[lane] = row[lane]
        # In one loop over radii and images, as above.
        for k in range(TOGETHER, size):
            highest[k] = max(highest[k - TOGETHER], row[k])
        for lane in range(TOGETHER):
            here = highest[size - TOGETHER + lane]
            clear[lane] = a if here > most[lane] else clear[lane]
            most[lane] = max(here, most[lane])
    return clear


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def closed_paths(
    gain: NDArray[np.float32],
    step_price: float,
    max_step: int,
    best: NDArray[np.float32],
    paths: NDArray[np.int64],
) -> None:
    """Find a closed path of large gain through each of `TOGETHER` polar images, into `paths`.

    Parameters
    ----------
    gain
        float32 (A, R * TOGETHER), gain of passing radius index r at angle a; the images lie side by side.
    step_price
        Price per step of radius between neighbouring angles, in units of `gain`.
    max_step
        Largest change of radius index between neighbouring angles, 1 or 2.
    best
        From `work_space`, for as many angles and radii.
    paths
        int64 (TOGETHER, A), overwritten with the radius index at each angle.

    Notes
    -----
    The exact optimum needs one dynamic programme per starting radius [2]_. Instead one starting point is fixed: the
    direction with the largest gain, which is where the contour is clearest and which turns with the image. Half a turn
    centred on that direction decides the radius there, and one full turn then leaves from that radius and returns to
    it. On contours that stand out from noise the result is the optimum.
    """
    n_angles = len(gain)
    one = np.float32(step_price)
    two = np.float32(2 * step_price) if max_step > 1 else -_IMPOSSIBLE
    clear, at, size = _clearest_angles(gain), np.empty(TOGETHER, np.int64), gain.shape[1]
    # First pass: half a turn, which fixes the radius at the clear direction. Each image joins in at its own angle.
    # Loops instead of slices here and below: numba takes seconds to compile these.
    quarter = n_angles // 4
    first, earliest, latest = np.empty(TOGETHER, np.int64), n_angles, 0
    for lane in range(TOGETHER):
        first[lane] = (clear[lane] - quarter) % n_angles
        earliest, latest = min(earliest, first[lane]), max(latest, first[lane])
    for angle in range(earliest, latest + 2 * quarter):
        for lane in range(TOGETHER):
            if first[lane] == angle:
                for k in range(lane, size, TOGETHER):
                    best[angle, _PAD + k] = gain[angle, k]
        _advance(gain, angle, one, two, best)
    # The best half-turn path is traced back to its middle, the clear direction: evidence on both sides of it decides.
    for lane in range(TOGETHER):
        sums, at[lane] = best[first[lane] + 2 * quarter], 0
        for k in range(lane, size, TOGETHER):
            at[lane] = k // TOGETHER if sums[_PAD + k] > sums[_PAD + at[lane] * TOGETHER + lane] else at[lane]
    for back in range(quarter):
        for lane in range(TOGETHER):
            at[lane] = _step_back(best[first[lane] + 2 * quarter - back - 1], at[lane], lane, one, two)
    # Second pass: one full turn. Only that radius may be left; the path must also return to it, hence the trace back
    # from there.
    earliest, latest = n_angles, 0
    for lane in range(TOGETHER):
        earliest, latest = min(earliest, clear[lane]), max(latest, clear[lane])
    for angle in range(earliest, latest + n_angles):
        for lane in range(TOGETHER):
            if clear[lane] == angle:
                for k in range(lane, size, TOGETHER):
                    best[angle, _PAD + k] = _IMPOSSIBLE
                best[angle, _PAD + at[lane] * TOGETHER + lane] = 0.0
        _advance(gain, angle, one, two, best)
    for back in range(n_angles):
        for lane in range(TOGETHER):
            angle = clear[lane] + n_angles - back
            paths[lane, angle % n_angles] = at[lane]
            at[lane] = _step_back(best[angle - 1], at[lane], lane, one, two)
