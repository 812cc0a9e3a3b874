"""More trees for an ensemble: gradient boosting that goes on from the log-odds that the ensemble gives already.

Each tree is fitted to what the trees before it left over (Friedman 2001), with the Newton steps of logistic loss as the
values of its leaves. Where the ensemble was right, next to nothing is left over, and nothing changes; the trees that it
had stay as they are. scikit-learn grows the trees, and its own boosting is not used, since it can start only from an
estimator of its own.

References
----------
.. [1] Friedman JH. "Greedy function approximation: a gradient boosting machine." Ann Stat 29:1189-1232, 2001.
   doi:10.1214/aos/1013203451
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from qupath_her2.cells.nuclei.trees import Trees
from qupath_her2.setting_ranges import Range, Seed, Share, check_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BoostingSettings", "boosted_on"]


@dataclass(frozen=True, slots=True)
class BoostingSettings:
    """Size and strength of the trees that are added.

    Attributes
    ----------
    trees
        Number of trees.
    leaves
        Most leaves of a tree.
    min_leaf_cells
        Fewest cells in a leaf.
    learning_rate
        Share of a Newton step that each tree takes.
    ridge
        Added to the weight of each leaf, in cells at a probability of 0.5 times four: few cells move a leaf little.
    columns
        Share of the columns that each split may choose from.
    seed
        Of the choice of columns.
    """

    trees: Annotated[int, Range(1, 1000)] = 60
    leaves: Annotated[int, Range(2, 32)] = 6
    min_leaf_cells: Annotated[int, Range(1, 10_000)] = 15
    learning_rate: Annotated[float, Range(0.001, 1)] = 0.1
    ridge: Annotated[float, Range(0, 1000)] = 3.0
    columns: Share = 0.3
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_settings(self)


def boosted_on(
    trees: Trees,
    log_odds: NDArray[np.float32],
    rows: NDArray[np.float32],
    target: NDArray[np.float64],
    weight: NDArray[np.float64],
    settings: BoostingSettings | None = None,
) -> Trees:
    """Return an ensemble with more trees behind those that it has.

    Parameters
    ----------
    trees
        The ensemble.
    log_odds
        float32 (N), what it predicts for the rows.
    rows
        float32 (N, F), its columns.
    target
        float64 (N), probabilities that should be predicted: 1 or 0, or between them.
    weight
        float64 (N), with a mean near 1.
    settings
        Size and strength of the new trees.

    Returns
    -------
    Trees
        The old trees, unchanged, then the new ones.
    """
    from sklearn.tree import DecisionTreeRegressor

    s = settings or BoostingSettings()
    known, parts = log_odds.astype(np.float64), [trees]
    for number in range(s.trees):
        probability = 1 / (1 + np.exp(-known))
        gradient = target - probability
        curvature = probability * (1 - probability)
        model = DecisionTreeRegressor(
            max_leaf_nodes=s.leaves, min_samples_leaf=s.min_leaf_cells, max_features=s.columns,
            random_state=s.seed + number,
        ).fit(rows, gradient, sample_weight=weight)  # fmt: skip
        leaf = model.apply(rows)
        n = model.tree_.node_count
        total = np.bincount(leaf, weight * curvature, n) + s.ridge
        step = np.bincount(leaf, weight * gradient, n) / np.where(total > 0, total, 1)
        # float32, as stored, so that the next tree is fitted to what will be predicted.
        value = (s.learning_rate * step).astype(np.float32)
        known += value[leaf]
        parts.append(_one_tree(model.tree_, value))
    return _joined(parts)


def _one_tree(tree: Any, value: NDArray[np.float32]) -> Trees:
    """Return a tree of scikit-learn with other values in its leaves."""
    is_leaf = tree.children_left < 0
    nodes = np.arange(tree.node_count, dtype=np.int32)
    return Trees(
        root=np.zeros(1, np.int32),
        feature=np.where(is_leaf, -1, tree.feature).astype(np.int16),
        threshold=_rounded_down(np.where(is_leaf, 0.0, tree.threshold)),
        left=np.where(is_leaf, nodes, tree.children_left).astype(np.int32),
        right=np.where(is_leaf, nodes, tree.children_right).astype(np.int32),
        value=np.where(is_leaf, value, np.float32(0)).astype(np.float32),
        baseline=0.0,
    )


def _rounded_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the greatest float32 that is at most each threshold: float32 columns then fall on the same sides."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def _joined(parts: list[Trees]) -> Trees:
    """Return the trees of several ensembles as one, whose prediction is their sum."""
    first = np.cumsum([0, *(len(one.feature) for one in parts[:-1])])
    moved = [
        replace(one, **{name: getattr(one, name) + np.int32(by) for name in ("root", "left", "right")})
        for one, by in zip(parts, first, strict=True)
    ]
    names = ("root", "feature", "threshold", "left", "right", "value")
    joined: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in moved]) for name in names}
    return Trees(**joined, baseline=sum(one.baseline for one in parts))
