"""Kappa of many pairs of readers at once, with the resamples of one bootstrap for all of them.

The formula is that of `kappa.weighted_kappa`; here the expected disagreement comes from the margins of each pair, so
that no confusion matrix of any resample is built: 465 pairs of 31 readers take a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.scoring.agreement.confusion_matrix import Share
from qupath_her2.scoring.agreement.kappa import estimates_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.scoring.agreement.kappa import Estimate, Weights

__all__ = ["PairFigures", "pair_figures", "pair_kappas"]

#: Kinds of weights of the figures of a pair.
KINDS: tuple[Weights, ...] = ("none", "linear", "quadratic")
#: Numbers held at once, so that thousands of pairs need no more memory than a few.
_MOST_NUMBERS = 4_000_000


@dataclass(frozen=True, slots=True)
class PairFigures:
    """Agreement of two columns of readings.

    Attributes
    ----------
    agreement
        Slides on which both gave the same class, of those that both read.
    kappa
        {"none" | "linear" | "quadratic": kappa with its interval}.
    """

    agreement: Share
    kappa: dict[Weights, Estimate]


def pair_kappas(
    first: NDArray[np.int64], second: NDArray[np.int64], weights: NDArray[np.float64], n_classes: int
) -> dict[Weights, NDArray[np.float64]]:
    """Return kappa of each pair of columns for the sample and all resamples.

    Parameters
    ----------
    first, second
        int64 (N, P), classes of N slides in P comparisons, 0..C - 1; -1 where there is none.
    weights
        float64 (B, N), from `resampling.case_weights`.
    n_classes
        Number of classes, C.

    Returns
    -------
    dict[Weights, NDArray[np.float64]]
        {kind of weights: float64 (B, P)}; NaN where no disagreement is expected.
    """
    step = max(1, _MOST_NUMBERS // (len(weights) * n_classes))
    parts = [
        _some_kappas(first[:, at : at + step], second[:, at : at + step], weights, n_classes)
        for at in range(0, first.shape[1], step)
    ]
    empty = np.zeros((len(weights), 0))
    return {kind: np.concatenate([empty, *(part[kind] for part in parts)], axis=1) for kind in KINDS}


def _some_kappas(
    first: NDArray[np.int64], second: NDArray[np.int64], weights: NDArray[np.float64], n_classes: int
) -> dict[Weights, NDArray[np.float64]]:
    both = (first >= 0) & (second >= 0)
    total = weights @ both.astype(np.float64)
    margins = [_margins(column, both, weights, n_classes) for column in (first, second)]
    codes = np.arange(n_classes)
    apart = np.where(both, np.abs(first - second), 0).astype(np.float64)
    distance = np.abs(codes[:, None] - codes).astype(np.float64)
    kappas: dict[Weights, NDArray[np.float64]] = {}
    for kind in KINDS:
        power = {"none": 0, "linear": 1, "quadratic": 2}[kind]
        # 0 ** 0 is 1, but equal classes never disagree.
        observed = weights @ np.where(apart > 0, apart**power, 0)
        weight = np.where(distance > 0, distance**power, 0)
        # As rows of one product: a sum over an axis of four is slower than all the rest.
        expected = np.einsum("ij,ij->i", margins[0] @ weight, margins[1]).reshape(total.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            kappas[kind] = np.where(expected > 0, 1 - observed * total / expected, np.nan)
    return kappas


def _margins(
    column: NDArray[np.int64], both: NDArray[np.bool_], weights: NDArray[np.float64], n_classes: int
) -> NDArray[np.float64]:
    """Return how often each class occurs in each resample and comparison, float64 (B * P, C)."""
    n, pairs = column.shape
    hot = (column[:, :, None] == np.arange(n_classes)) & both[:, :, None]
    counted = weights @ hot.reshape(n, pairs * n_classes).astype(np.float64)
    return np.asarray(counted, np.float64).reshape(-1, n_classes)


def pair_figures(
    first: NDArray[np.int64], second: NDArray[np.int64], kappas: dict[Weights, NDArray[np.float64]]
) -> list[PairFigures]:
    """Return the figures of each comparison.

    Parameters
    ----------
    first, second
        int64 (N, P), as in `pair_kappas`.
    kappas
        From `pair_kappas` of the same columns.

    Returns
    -------
    list[PairFigures]
        One for each of the P comparisons.
    """
    both = (first >= 0) & (second >= 0)
    same = (both & (first == second)).sum(axis=0)
    estimates = {kind: estimates_from(values) for kind, values in kappas.items()}
    return [
        PairFigures(
            Share(int(same[pair]), int(both[:, pair].sum())),
            {kind: estimates[kind][pair] for kind in estimates},
        )
        for pair in range(first.shape[1])
    ]
