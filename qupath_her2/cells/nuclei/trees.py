"""Boosted regression trees as plain arrays: small, fast, and read without unpickling anything."""

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
    """A sum of regression trees, stored one after another.

    `root` int32 (T), first node of each tree; per node: `feature` int16 (-1 in a leaf), `threshold` float32 (go
    left when value <= threshold), `left`, `right` int32, `value` float32 (leaf). `baseline` float is added.
    """

    root: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    baseline: float


def load_trees(name: str, targets: tuple[str, ...], features: tuple[str, ...]) -> dict[str, Trees]:
    """Load the trees shipped as package data.

    Parameters
    ----------
    name
        File beside this module, under ``data``.
    targets
        The predictions wanted.
    features
        The columns the caller offers; they must be those the trees were grown on, in order.

    Raises
    ------
    ExchangeError
        When the file was grown on other features.
    """
    with resources.files("qupath_her2.cells").joinpath("data", name).open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        grown_on = tuple(str(column) for column in stored["features"])
        if grown_on != features:
            odd = sorted(set(grown_on) ^ set(features)) or ["their order"]
            raise ExchangeError(
                f"The trees in '{name}' were grown on other features than this version measures ({', '.join(odd)}). "
                "Install qupath-her2 again, or grow them again with python -m tests.quality.nucleus_trees."
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
    out = np.empty(len(rows), np.float32)
    for i in range(len(rows)):
        total = baseline
        for t in range(len(root)):
            node = root[t]
            while feature[node] >= 0:
                node = left[node] if rows[i, feature[node]] <= threshold[node] else right[node]
            total += value[node]
        out[i] = total
    return out


def predict(trees: Trees, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add up what every tree says of each row.

    Parameters
    ----------
    trees
        Grown on F features.
    rows
        float32 (N, F), no NaN.

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
