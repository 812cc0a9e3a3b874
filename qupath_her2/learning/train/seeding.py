"""Seeding: random numbers that depend only on seed, epoch and row (or step).

A patch gets the same augmentation in whatever order, batch or process it is read, also after an interruption.
Own code: torch's and numpy's generators yield a sequence, so that a row's numbers would depend on the rows before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["epoch_order", "step_seed", "uniforms"]

#: Constants of SplitMix64: 2**64 divided by the golden ratio, and the multipliers of its finaliser.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the finaliser of SplitMix64; the multiplications are meant to wrap at 2**64."""
    z = values + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def _key(*names: int) -> NDArray[np.uint64]:
    """Return the hash of a tuple of integers, uint64 (1,)."""
    key = np.zeros(1, np.uint64)
    for name in names:
        key = _mix(key ^ np.array([name], np.int64).view(np.uint64))
    return key


def uniforms(seed: int, epoch: int, rows: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Return `n` random numbers for each row, uniform in [0, 1), with SplitMix64 [1]_ as a hash function.

    Parameters
    ----------
    seed, epoch
        Seed of the training, and its epoch.
    rows
        int64 (N,), rows of the manifest.
    n
        Numbers per row.

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
    # A float64 has 53 bits of precision.
    return (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53


def step_seed(seed: int, epoch: int, step: int, rank: int = 0) -> int:
    """Return the seed of one step's dropout.

    Parameters
    ----------
    seed, epoch, step
        Seed of the training, and the step.
    rank
        Number of the process, so that several processes draw different masks.

    Returns
    -------
    int
        In 0 .. 2**63 - 1, the range that torch's generators accept.
    """
    return int(_key(seed, epoch, step, rank)[0] >> np.uint64(1))


def epoch_order(rows: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Shuffle the training patches for one epoch.

    Parameters
    ----------
    rows
        int64 (N,), rows of the manifest.
    seed, epoch
        Seed of the training, and the epoch.

    Returns
    -------
    NDArray[np.int64]
        int64 (N,), a permutation of `rows`.
    """
    # Step -1 keeps this seed apart from those of the epoch's steps.
    return np.random.Generator(np.random.PCG64(step_seed(seed, epoch, -1))).permutation(rows)
