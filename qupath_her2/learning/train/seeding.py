"""Randomness that depends on nothing but its names: the same row of the same epoch draws the same numbers.

Whoever reads a patch, in whatever order and batch, after whatever interruption, gets the same augmentation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["epoch_order", "step_seed", "uniforms"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the finaliser of SplitMix64; multiplication wraps at 2**64, as it is meant to."""
    z = values + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def _key(*names: int) -> NDArray[np.uint64]:
    """Return uint64 (1,) that stands for a tuple of whole numbers."""
    key = np.zeros(1, np.uint64)
    for name in names:
        key = _mix(key ^ np.array([name], np.int64).view(np.uint64))
    return key


def uniforms(seed: int, epoch: int, rows: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Return `n` numbers for each row, uniform in [0, 1), from SplitMix64 [1]_ as a hash.

    Parameters
    ----------
    seed, epoch
        Of the training.
    rows
        int64 (N,), rows of the manifest.
    n
        Numbers a row.

    Returns
    -------
    NDArray[np.float64]
        float64 (N, n); a row's numbers do not depend on the other rows.

    References
    ----------
    .. [1] Steele GL, Lea D, Flood CH. Fast splittable pseudorandom number generators. OOPSLA 2014, 453-472.
       doi:10.1145/2660193.2660195
    """
    of_row = _mix(_key(seed, epoch) ^ np.ascontiguousarray(rows, np.int64).view(np.uint64))
    numbers = _mix(of_row[:, None] + np.arange(1, n + 1, dtype=np.uint64)[None] * _GOLDEN)
    # 53 bits are what a float64 holds.
    return (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53


def step_seed(seed: int, epoch: int, step: int, rank: int = 0) -> int:
    """Return the seed of one step's dropout, in 0 .. 2**63 - 1."""
    return int(_key(seed, epoch, step, rank)[0] >> np.uint64(1))


def epoch_order(rows: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Return `rows` in the order of one epoch, int64 (N,)."""
    return np.random.Generator(np.random.PCG64(step_seed(seed, epoch, -1))).permutation(rows)
