"""Non-maximum suppression: of contours that compete for the same nucleus the best is kept.

Greedy suppression over a whole slide lets a decision in one corner change one in another, through a chain of overlaps.
Here candidates are decided in a few rounds: one is kept when no better competitor is undecided or kept. Each round
carries a decision one neighbour further and no more, so tiles with a halo agree with the whole image.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.bins import sort_into_bins

__all__ = ["ROUNDS", "keep_best"]

#: Number of rounds; candidates still undecided afterwards are dropped (none on real tissue).
ROUNDS = 6

_OPEN, _KEPT, _DROPPED = 0, 1, 2


@nb.njit(cache=True, nogil=True)
def _compete(
    centres: NDArray[np.float64], radii: NDArray[np.float32], i: int, j: int, reach_px: float
) -> bool:
    """Return whether two contours claim the same nucleus: a centre inside the other contour, or a large overlap."""
    dx = centres[j, 0] - centres[i, 0]
    dy = centres[j, 1] - centres[i, 1]
    distance = math.hypot(dx, dy)
    if distance > reach_px:
        return False
    # Compared along the line between the centres only: an area of overlap for every pair would be far more costly.
    n_angles = radii.shape[1]
    towards = round(math.atan2(dy, dx) / (2 * math.pi) * n_angles) % n_angles
    back = (towards + n_angles // 2) % n_angles
    mine, other = radii[i, towards], radii[j, back]
    # Touching nuclei overlap a little, since contours lie at the middle of a blurred edge: hence 0.9, and half a
    # radius.
    if distance < 0.9 * mine or distance < 0.9 * other:
        return True
    return bool(mine + other - distance > 0.5 * min(mine, other))


@nb.njit(cache=True, nogil=True)
def _rounds(
    centres: NDArray[np.float64],
    radii: NDArray[np.float32],
    score: NDArray[np.float32],
    order: NDArray[np.int64],
    first: NDArray[np.int64],
    columns: int,
    reach_px: float,
    rounds: int,
) -> NDArray[np.uint8]:
    """Return the state of each candidate after all rounds.

    `order`, `first` and `columns` are the bins of `sort_into_bins`, of side `reach_px`: competitors lie in the 3 x 3
    around a candidate.
    """
    n = len(score)
    state = np.zeros(n, np.uint8)
    winners, largest = np.empty(n, np.int64), np.empty(n, np.float32)
    for i in range(n):
        largest[i] = radii[i].max()
    for _ in range(rounds):
        n_winners, n_dropped = 0, 0
        for i in range(n):
            if state[i] != _OPEN:
                continue
            cell = int(centres[i, 1] / reach_px) * columns + int(centres[i, 0] / reach_px)
            stands = True
            for neighbour in (
                cell, cell - 1, cell + 1, cell - columns, cell + columns,
                cell - columns - 1, cell - columns + 1, cell + columns - 1, cell + columns + 1,
            ):  # fmt: skip
                if neighbour < 0 or neighbour + 1 >= len(first):
                    continue
                for q in range(first[neighbour], first[neighbour + 1]):
                    j = order[q]
                    if j == i or state[j] == _DROPPED:
                        continue
                    # Contours that cannot touch are told apart first, without their directions.
                    dx, dy = centres[j, 0] - centres[i, 0], centres[j, 1] - centres[i, 1]
                    if dx * dx + dy * dy > (largest[i] + largest[j]) ** 2:
                        continue
                    better = score[j] > score[i] or (score[j] == score[i] and j < i)
                    if (state[j] == _KEPT or better) and _compete(centres, radii, i, j, reach_px):
                        stands = False
                        if state[j] == _KEPT:
                            state[i] = _DROPPED
                            n_dropped += 1
                            break
                if state[i] == _DROPPED:
                    break
            if stands:
                winners[n_winners] = i
                n_winners += 1
        # Winners are entered after the round: within it all decisions see the same state, whatever the order of the
        # candidates (drops may be seen at once, they only remove competitors).
        for w in range(n_winners):
            state[winners[w]] = _KEPT
        # A round that only drops candidates may still free others that waited for them.
        if n_winners == 0 and n_dropped == 0:
            break
    return state


def keep_best(
    centres: NDArray[np.float64], radii: NDArray[np.float32], score: NDArray[np.float32], reach_px: float
) -> NDArray[np.bool_]:
    """Choose the best of competing contours.

    Parameters
    ----------
    centres
        float64 (N, 2), x, y, pixels, >= 0.
    radii
        float32 (N, A), pixels.
    score
        float32 (N), larger is better; of equal scores the earlier candidate wins.
    reach_px
        Contours whose centres are farther apart never compete.

    Returns
    -------
    NDArray[np.bool_]
        bool (N), the contours kept.
    """
    if len(centres) == 0:
        return np.zeros(0, bool)
    order, first, columns = sort_into_bins(centres, reach_px)
    state = _rounds(centres, radii, score, order, first, columns, reach_px, ROUNDS)
    kept: NDArray[np.bool_] = state == _KEPT
    return kept
