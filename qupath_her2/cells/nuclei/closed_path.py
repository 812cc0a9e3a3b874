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

__all__ = ["MAX_STEP", "closed_path"]

#: Largest change of radius index between neighbouring angles that `closed_path` allows.
MAX_STEP = 2

#: Below every sum of gains: no path comes from outside the radii.
_IMPOSSIBLE = np.float32(-1e9)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _advance(
    gain: NDArray[np.float32],
    first: int,
    n_steps: int,
    one: np.float32,
    two: np.float32,
    best: NDArray[np.float32],
    back: NDArray[np.int32],
) -> None:
    """Extend the best sums by `n_steps` angles; ``best[0]`` holds those at angle `first`, `back` receives the path.

    `one` and `two` are the prices of a change of radius by one step and by two.
    """
    n_angles, n_radii = gain.shape
    a = first % n_angles
    for i in range(1, n_steps + 1):
        a = a + 1 if a + 1 < n_angles else 0
        before, now, origin, added = best[i - 1], best[i], back[i], gain[a]
        # Written out and without branches, since only so it is vectorised, 4 times as fast. Ties go to no change of
        # radius, then to the smaller change: the smoother contour.
        for r in range(n_radii):
            value, radius = before[r + MAX_STEP], nb.int32(r)
            other = before[r + MAX_STEP - 1] - one
            radius = nb.int32(r - 1) if other > value else radius
            value = other if other > value else value
            other = before[r + MAX_STEP + 1] - one
            radius = nb.int32(r + 1) if other > value else radius
            value = other if other > value else value
            other = before[r] - two
            radius = nb.int32(r - 2) if other > value else radius
            value = other if other > value else value
            other = before[r + 2 * MAX_STEP] - two
            radius = nb.int32(r + 2) if other > value else radius
            value = other if other > value else value
            now[r + MAX_STEP] = value + added[r]
            origin[r] = radius


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _clearest_angle(gain: NDArray[np.float32]) -> int:
    """Return the first angle that has the largest gain."""
    clear, most = 0, _IMPOSSIBLE
    for a in range(len(gain)):
        highest = gain[a, 0]
        for r in range(1, gain.shape[1]):
            highest = max(highest, gain[a, r])
        if highest > most:
            clear, most = a, highest
    return clear


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def closed_path(
    gain: NDArray[np.float32],
    step_price: float,
    max_step: int,
    best: NDArray[np.float32],
    back: NDArray[np.int32],
    path: NDArray[np.int32],
) -> None:
    """Find a closed path of large gain through a polar image, into `path`.

    Parameters
    ----------
    gain
        float32 (A, R), gain of passing radius index r at angle a.
    step_price
        Price per step of radius between neighbouring angles, in units of `gain`.
    max_step
        Largest change of radius index between neighbouring angles, 1 or 2.
    best, back
        Work space, float32, at least (A + 1, R + 4), and int32, at least (A + 1, R); passed in so that nothing is
        allocated per contour.
    path
        int32 (A), overwritten with the radius index at each angle.

    Notes
    -----
    The exact optimum needs one dynamic programme per starting radius [2]_. Instead one starting point is fixed: the
    direction with the largest gain, which is where the contour is clearest and which turns with the image. Half a turn
    centred on that direction decides the radius there, and one full turn then leaves from that radius and returns to
    it. On contours that stand out from noise the result is the optimum.
    """
    n_angles, n_radii = gain.shape
    one = np.float32(step_price)
    two = np.float32(2 * step_price) if max_step > 1 else -_IMPOSSIBLE
    # Beside the radii nothing is ever the best, so that no step needs to ask whether it leaves them.
    for i in range(n_angles + 1):
        for r in range(MAX_STEP):
            best[i, r] = best[i, MAX_STEP + n_radii + r] = _IMPOSSIBLE
    # The direction of the largest gain turns with the image, unlike angle 0.
    clear = _clearest_angle(gain)
    # First pass: half a turn, which fixes the radius at the clear direction.
    quarter = n_angles // 4
    first = clear + n_angles - quarter
    for r in range(n_radii):
        best[0, MAX_STEP + r] = gain[first % n_angles, r]
    _advance(gain, first, 2 * quarter, one, two, best, back)
    # The best half-turn path is traced back to its middle, the clear direction: evidence on both sides of it decides.
    anchor = 0
    for r in range(1, n_radii):
        if best[2 * quarter, MAX_STEP + r] > best[2 * quarter, MAX_STEP + anchor]:
            anchor = r
    for i in range(2 * quarter, quarter, -1):
        anchor = back[i, anchor]
    # Only the anchor may be left; the path must also return to it, hence the trace back from there.
    for r in range(n_radii):
        best[0, MAX_STEP + r] = _IMPOSSIBLE
    best[0, MAX_STEP + anchor] = 0.0
    # Second pass: one full turn from the anchor back to it.
    _advance(gain, clear, n_angles, one, two, best, back)
    r = anchor
    for i in range(n_angles, 0, -1):
        path[(clear + i) % n_angles] = r
        r = back[i, r]
