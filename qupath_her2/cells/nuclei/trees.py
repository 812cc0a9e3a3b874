"""Boosted regression trees stored as plain arrays.

Own code instead of a pickled scikit-learn model: unpickling runs code from the file and ties it to one scikit-learn
version, and scoring should not need scikit-learn. `tests.quality.nucleus_trees` and `tests.quality.tumour_trees` train
the trees with scikit-learn, and a test compares the predictions.

Walking down a tree, row by row, waits at every node for the branch before it. Here all rows pass each node side by
side, and a node that sends a row to the right strikes out the leaves on its left: the first leaf still standing is the
one that the walk would reach (QuickScorer) [1]_.

References
----------
.. [1] Lucchese C, Nardini FM, Orlando S, Perego R, Tonellotto N, Venturini R. "QuickScorer: a fast algorithm to rank
   documents with additive ensembles of regression trees." SIGIR 2015, 73-82. doi:10.1145/2766462.2767733
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError

__all__ = ["Trees", "arrays_of", "load_trees", "predict", "stored_trees"]

_MOST_LEAVES = 32
#: Stored arrays of an ensemble and their types; its baseline beside them.
_ARRAYS = {
    "root": np.int32, "feature": np.int16, "threshold": np.float32, "left": np.int32, "right": np.int32,
    "value": np.float32,
}  # fmt: skip
#: Rows that pass a tree side by side: their columns stay in the cache.
_BLOCK = 256
#: The position of the one bit set in v is ``_BIT[(v * 0x077CB531) >> 27]``, in 32-bit arithmetic.
_BIT = np.zeros(32, np.int64)
_BIT[[((0x077CB531 << bit) & 0xFFFFFFFF) >> 27 for bit in range(32)]] = np.arange(32)


@dataclass(frozen=True, slots=True)
class Trees:
    """An ensemble of T regression trees with M nodes in all, stored one after another, each of at most 32 leaves.

    Attributes
    ----------
    root
        int32 (T), first node of each tree.
    feature
        int16 (M), feature compared at each node, -1 in a leaf.
    threshold
        float32 (M); the path goes left where the feature is at most the threshold.
    left, right
        int32 (M), child nodes, after their parent.
    value
        float32 (M), prediction of a leaf.
    baseline
        Added to the sum over trees.
    """

    root: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    baseline: float

    def __post_init__(self) -> None:
        nodes = int(np.diff(self.root, append=len(self.feature)).max(initial=1))
        if nodes > 2 * _MOST_LEAVES - 1:
            raise ValueError(f"A tree of {nodes} nodes has more than {_MOST_LEAVES} leaves, one bit each.")


def load_trees(
    name: str,
    targets: tuple[str, ...],
    features: tuple[str, ...],
    trained_by: str = "tests.quality.nucleus_trees",
) -> dict[str, Trees]:
    """Load trees shipped as package data.

    Parameters
    ----------
    name
        File in ``qupath_her2/cells/data``.
    targets
        Names of the predictions to load.
    features
        Columns that the caller computes; they must be those the trees were trained on, in order.
    trained_by
        Module that trains them, for the message.

    Returns
    -------
    dict[str, Trees]
        Trees of each target.

    Raises
    ------
    ExchangeError
        When the trees were trained on other features.
    """
    # Package data may lie in an archive, where a path would not work.
    with resources.files("qupath_her2.cells").joinpath("data", name).open("rb") as file:
        # A file of weights must not be able to run code.
        stored = np.load(file, allow_pickle=False)
        trained_on = tuple(str(column) for column in stored["features"])
        if trained_on != features:
            differing = sorted(set(trained_on) ^ set(features)) or ["their order"]
            raise ExchangeError(
                f"The regression trees '{name}' were trained on other features than this version computes "
                f"({', '.join(differing)}). Reinstall qupath-her2, or retrain them with "
                f"python -m {trained_by}."
            )
        return {target: stored_trees(stored, target) for target in targets}


def stored_trees(stored: Mapping[str, NDArray[Any]], target: str) -> Trees:
    """Return the trees of a target from the arrays of `arrays_of`.

    Raises
    ------
    KeyError, ValueError
        An array is missing, or of another kind.
    """
    arrays = {name: stored[f"{target}/{name}"] for name in _ARRAYS}
    for name, kind in _ARRAYS.items():
        if arrays[name].dtype != kind or arrays[name].ndim != 1:
            raise ValueError(f"{target}/{name} is {arrays[name].dtype} {arrays[name].shape}")
    return Trees(**arrays, baseline=float(stored[f"{target}/baseline"]))


def arrays_of(trees: Trees, target: str) -> dict[str, NDArray[Any]]:
    """Return trees as arrays to be stored, for `stored_trees`."""
    arrays: dict[str, NDArray[Any]] = {f"{target}/{name}": getattr(trees, name) for name in _ARRAYS}
    return {**arrays, f"{target}/baseline": np.array(trees.baseline)}


@nb.njit(cache=True, nogil=True)
def _leaf_masks(
    feature: NDArray[np.int16], left: NDArray[np.int32], right: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Return the leftmost leaf under each node, counted within its tree, and the leaves that going right rules out.

    These are bits, leaf 0 lowest; a leaf rules out none.
    """
    n = len(feature)
    leaves, leftmost, ruled_out = np.ones(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.uint32)
    # Children come after their parent.
    for node in range(n - 1, -1, -1):
        if feature[node] >= 0:
            leaves[node] = leaves[left[node]] + leaves[right[node]]
    for node in range(n):
        if feature[node] >= 0:
            leftmost[left[node]] = leftmost[node]
            leftmost[right[node]] = leftmost[node] + leaves[left[node]]
            ruled_out[node] = ((1 << leaves[left[node]]) - 1) << leftmost[node]
    return leftmost, ruled_out


@nb.njit(cache=True, nogil=True)
def _predict(
    columns: NDArray[np.float32],
    root: NDArray[np.int32],
    feature: NDArray[np.int16],
    threshold: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    value: NDArray[np.float32],
    baseline: float,
) -> NDArray[np.float32]:
    """Sum the leaves reached by each row, given as columns (F, N); plain arguments, numba cannot take a dataclass."""
    n_rows = columns.shape[1]
    leftmost, ruled_out = _leaf_masks(feature, left, right)
    out = np.empty(n_rows, np.float32)
    possible, total, leaf_value = (
        np.empty(_BLOCK, np.uint32),
        np.empty(_BLOCK, np.float64),
        np.empty(_MOST_LEAVES, np.float32),
    )
    for first in range(0, n_rows, _BLOCK):
        size = min(_BLOCK, n_rows - first)
        # Summed in double precision, always in the same order: ratings are compared between tiles.
        total[:] = baseline
        for t in range(len(root)):
            end = root[t + 1] if t + 1 < len(root) else len(feature)
            possible[:] = 0xFFFFFFFF
            for node in range(root[t], end):
                if feature[node] < 0:
                    leaf_value[leftmost[node]] = value[node]
                    continue
                column = columns[feature[node], first : first + size]
                limit, kept = threshold[node], np.uint32(~ruled_out[node])
                for i in range(size):
                    # Same comparison as scikit-learn's (left where <=), else predictions differ at the thresholds.
                    possible[i] &= np.uint32(0xFFFFFFFF) if column[i] <= limit else kept
            for i in range(size):
                # The leftmost leaf still possible is the one reached: its bit, by De Bruijn's sequence.
                lowest = possible[i] & (~possible[i] + np.uint32(1))
                total[i] += leaf_value[_BIT[np.uint32(lowest * np.uint32(0x077CB531)) >> np.uint32(27)]]
        for i in range(size):
            out[first + i] = total[i]
    return out


def predict(trees: Trees, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predict the target of each row.

    Parameters
    ----------
    trees
        Trees trained on F features.
    rows
        float32 (N, F), without NaN: scikit-learn's handling of missing values is not stored.

    Returns
    -------
    NDArray[np.float32]
        float32 (N)
    """
    t = trees
    found: NDArray[np.float32] = _predict(
        np.ascontiguousarray(rows.T), t.root, t.feature, t.threshold, t.left, t.right, t.value, t.baseline
    )
    return found
