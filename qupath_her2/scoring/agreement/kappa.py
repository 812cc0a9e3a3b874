"""Cohen's weighted kappa, with a bootstrap interval over cases.

Weights and formula: Cohen J. Weighted kappa. Psychol Bull 1968;70:213-220, doi 10.1037/h0026256. With quadratic weights
kappa is an intraclass correlation (Fleiss & Cohen 1973, doi 10.1177/001316447303300309). Interval: percentile bootstrap
(Efron & Tibshirani 1993, chapter 13) that resamples cases, because slides and patches of one case tend to agree or err
together; resampling single patches would give far too narrow an interval.

Own code instead of scikit-learn's `cohen_kappa_score`, which takes label lists, one pair of lists a call: the
bootstrap needs thousands of kappas, which are computed here from stacked confusion matrices in one expression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.scoring.agreement.pairs import Pairs

__all__ = [
    "BootstrapSettings",
    "Estimate",
    "Weights",
    "draw_matrices",
    "estimate_from",
    "estimate_kappa",
    "estimates_from",
    "weighted_kappa",
]

Weights: TypeAlias = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True, slots=True)
class BootstrapSettings:
    """Bootstrap settings: number of resamples, and the seed that makes them reproducible."""

    draws: int = 2000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval.

    Attributes
    ----------
    value, low, high
        Point estimate and ends of the interval; NaN if undefined.
    undefined_draws
        Resamples without a value (all pairs in one class); the interval is computed from the others.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    undefined_draws: int = 0


def weighted_kappa(matrices: NDArray[np.integer], weights: Weights) -> NDArray[np.float64]:
    """Return ``1 - sum(w observed) / sum(w expected)`` for one or many confusion matrices.

    Parameters
    ----------
    matrices
        int (..., C, C), counts.
    weights
        Disagreement w between classes i and j: 1 if they differ, ``|i - j|``, or ``(i - j) ** 2``.

    Returns
    -------
    NDArray[np.float64]
        float64 (...), at most 1; NaN where no disagreement is expected: no pairs, or all pairs in one class.
    """
    counts = np.asarray(matrices, np.float64)
    codes = np.arange(counts.shape[-1])
    distance = np.abs(codes[:, None] - codes).astype(np.float64)
    weight = {"none": (distance > 0).astype(np.float64), "linear": distance, "quadratic": distance**2}[
        weights
    ]
    observed = (weight * counts).sum(axis=(-2, -1))
    margins = counts.sum(axis=-1)[..., :, None] * counts.sum(axis=-2)[..., None, :]
    # Multiplied by the total instead of divided twice: expected counts are margins / total.
    total = counts.sum(axis=(-2, -1))
    expected = (weight * margins).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return cast("NDArray[np.float64]", np.where(expected > 0, 1 - observed * total / expected, np.nan))


def draw_matrices(pairs: Pairs, settings: BootstrapSettings | None = None) -> NDArray[np.int64]:
    """Return the confusion matrices of bootstrap resamples, int64 (draws, C, C).

    Each resample draws as many cases as there are, with replacement, each with all of its pairs.
    """
    s = settings or BootstrapSettings()
    n = len(pairs.class_names)
    answered = pairs.answer >= 0
    _, case = np.unique(pairs.case[answered], return_inverse=True)
    n_cases = int(case.max(initial=-1)) + 1
    by_case = np.zeros((n_cases, n * n), np.int64)
    np.add.at(by_case, (case, n * pairs.truth[answered] + pairs.answer[answered]), 1)
    if n_cases == 0:
        return np.zeros((s.draws, n, n), np.int64)
    # Cases with identical pairs are interchangeable, so it is enough to draw how often each kind occurs: 20,000
    # single-patch cases are at most 16 kinds.
    kinds, members = np.unique(by_case, axis=0, return_counts=True)
    rng = np.random.default_rng(s.seed)
    times = rng.multinomial(n_cases, members / n_cases, s.draws)
    # Integers below 2**53 are exact in float64, and BLAS multiplies float64 many times faster than int64.
    drawn = times.astype(np.float64) @ kinds.astype(np.float64)
    return drawn.astype(np.int64).reshape(s.draws, n, n)


def estimate_kappa(matrix: NDArray[np.int64], draws: NDArray[np.int64], weights: Weights) -> Estimate:
    """Return kappa with its percentile bootstrap interval.

    Parameters
    ----------
    matrix
        int64 (C, C), the confusion matrix.
    draws
        int64 (draws, C, C), confusion matrices of the resamples, from `draw_matrices`.
    weights
        As in `weighted_kappa`.

    Returns
    -------
    Estimate
        Kappa of `matrix`, and the 2.5 % and 97.5 % quantiles over `draws`.
    """
    return estimate_from(np.append(weighted_kappa(matrix, weights), weighted_kappa(draws, weights)))


def estimate_from(values: NDArray[np.float64]) -> Estimate:
    """Return value and 95 % interval of a statistic, float64 (1 + draws): of the sample, then of each resample."""
    return estimates_from(values[:, None])[0]


def estimates_from(values: NDArray[np.float64]) -> list[Estimate]:
    """Return value and interval of P statistics, float64 (1 + draws, P), as `estimate_from` does of one."""
    drawn = values[1:]
    is_defined = np.isfinite(drawn)
    missing = (~is_defined).sum(axis=0)
    low, high = np.full((2, values.shape[1]), np.nan)
    # All columns without such resamples in one call, which costs little more than one column.
    whole = np.flatnonzero((missing == 0) & np.isfinite(values[0]) & (len(drawn) > 0))
    if len(whole):
        low[whole], high[whole] = np.quantile(drawn[:, whole], [0.025, 0.975], axis=0)
    # Resamples in which all cases fall into one class have no kappa; `undefined_draws` reports how many.
    for column in np.flatnonzero((missing > 0) & (missing < len(drawn)) & np.isfinite(values[0])).tolist():
        low[column], high[column] = np.quantile(drawn[is_defined[:, column], column], [0.025, 0.975])
    columns = zip(values[0].tolist(), low.tolist(), high.tolist(), missing.tolist(), strict=True)
    return [Estimate(*column) for column in columns]
