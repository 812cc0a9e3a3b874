"""Who owns which ground: growth from seeds at a price for each step, the cheapest seed wins.

What a watershed decides by the order in which it floods, this decides by the cost of the cheapest path alone, in whole
numbers. A place has the same owner in every tile that holds the seeds within reach of it.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

__all__ = ["NOBODY", "STRAIGHT", "grow"]

#: Owner of ground that no seed reaches.
NOBODY = -1

#: Cost of a straight step at a price of 1; a diagonal one costs 7/5 of it (Borgefors 1986, doi
#: 10.1016/S0734-189X(86)80047-0: 5 and 7 stand for 1 and the root of 2).
STRAIGHT = 5
_DIAGONAL = 7


#: No pixel: the end of a list.
_END = -1


@nb.njit(cache=True, nogil=True)
def _grow(
    owner: NDArray[np.int32], cost: NDArray[np.int32], price: NDArray[np.int32], width: int, limit: int
) -> None:
    """Settle all pixels in the order of their cost; flat arrays of rows of `width`.

    Pixels wait in a list for each cost (Dial 1969, doi 10.1145/363269.363610). All that reaches a place at one cost
    comes from cheaper places, so that the lowest number is known when its turn comes.
    """
    n = len(owner)
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
                    total = level + (_DIAGONAL if dy != 0 and dx != 0 else STRAIGHT) * price[j]
                    if price[j] < 0 or total > limit or total > cost[j]:
                        continue
                    if total == cost[j]:
                        owner[j] = min(owner[j], owner[i])
                        continue
                    if cost[j] <= limit:
                        # It waits for a dearer turn: take it out of that list.
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


def grow(
    owner: NDArray[np.int32], cost: NDArray[np.int32], price: NDArray[np.int32], limit: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Give every place to the seed from which the cheapest path leads there.

    Parameters
    ----------
    owner
        int32 (H, W), number of the seed that begins here, `NOBODY` elsewhere. Of equal costs the lower number
        wins, so number seeds by their place in the image.
    cost
        int32 (H, W), what a seed begins with; read where there is one.
    price
        int32 (H, W), of a step onto this place, above 0; below 0 nobody may step there.
    limit
        Paths that cost more are not taken.

    Returns
    -------
    tuple[NDArray[np.int32], NDArray[np.int32]]
        Owner and cost, int32 (H, W); `NOBODY` has the cost ``limit + 1``.
    """
    shape = owner.shape
    begins = (owner != NOBODY) & (cost <= limit)
    spent = np.where(begins, cost, limit + 1).astype(np.int32).ravel()
    owner = np.where(begins, owner, NOBODY).astype(np.int32).ravel()
    _grow(owner, spent, np.ascontiguousarray(price, np.int32).ravel(), shape[1], limit)
    return owner.reshape(shape), spent.reshape(shape)
