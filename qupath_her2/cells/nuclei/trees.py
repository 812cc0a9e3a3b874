"""Boosted regression trees stored as plain arrays.

Own code instead of a pickled scikit-learn model: unpickling runs code from the file and ties it to one scikit-learn
version, and scoring should not need scikit-learn. `tests.quality.nucleus_trees` and `tests.quality.tumour_trees` train
the trees with scikit-learn, and a test compares the predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError

__all__ = ["Trees", "load_trees", "predict"]


@dataclass(frozen=True, slots=True)
class Trees:
    """An ensemble of T regression trees with M nodes in all, stored one after another.

    Attributes
    ----------
    root
        int32 (T), first node of each tree.
    feature
        int16 (M), feature compared at each node, -1 in a leaf.
    threshold
        float32 (M); the path goes left where the feature is at most the threshold.
    left, right
        int32 (M), child nodes.
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
        return {
            target: Trees(
                root=stored[f"{target}/root"],
                feature=stored[f"{target}/feature"],
                threshold=stored[f"{target}/threshold"],
                left=stored[f"{target}/left"],
                right=stored[f"{target}/right"],
                value=stored[f"{target}/value"],
                baseline=float(stored[f"{target}/baseline"]),
            )
            for target in targets
        }


@nb.njit(cache=True, nogil=True)
def _predict(
    rows: NDArray[np.float32],
    root: NDArray[np.int32],
    feature: NDArray[np.int16],
    threshold: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    value: NDArray[np.float32],
    baseline: float,
) -> NDArray[np.float32]:
    """Sum the leaves reached by each row; plain arguments, because numba cannot take a dataclass."""
    out = np.empty(len(rows), np.float32)
    for i in range(len(rows)):
        # Summed in double precision, always in the same order: ratings are compared between tiles.
        total = baseline
        for t in range(len(root)):
            node = root[t]
            # Same comparison as scikit-learn's (left where <=), else predictions differ at the thresholds.
            while feature[node] >= 0:
                node = left[node] if rows[i, feature[node]] <= threshold[node] else right[node]
            total += value[node]
        out[i] = total
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
        rows, t.root, t.feature, t.threshold, t.left, t.right, t.value, t.baseline
    )
    return found
