"""Cohen's kappa, weighted, with an interval that draws whole cases.

Weights and formula: Cohen J. Weighted kappa. Psychol Bull 1968;70:213-220, doi 10.1037/h0026256. Quadratic weights are
those under which kappa is an intraclass correlation (Fleiss & Cohen 1973, doi 10.1177/001316447303300309). Interval:
percentile bootstrap (Efron & Tibshirani 1993, chapter 13) over cases, since slides and patches of one case agree or err
together, and an interval over single patches would be far too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.scoring.agreement.pairs import Pairs

__all__ = ["BootstrapSettings", "Estimate", "Weights", "draw_matrices", "estimate_kappa", "weighted_kappa"]

Weights: TypeAlias = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True, slots=True)
class BootstrapSettings:
    """How intervals are drawn: number of draws, and the seed that makes them repeat."""

    draws: int = 2000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval.

    Attributes
    ----------
    value, low, high
        NaN where there is none.
    undefined_draws
        Draws of the bootstrap under which the value does not exist (all pairs in one class); the interval
        is of the others.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    undefined_draws: int = 0


def weighted_kappa(matrices: NDArray[np.integer], weights: Weights) -> NDArray[np.float64]:
    """Return ``1 - sum(w observed) / sum(w expected)`` of one or many confusion matrices.

    Parameters
    ----------
    matrices
        (..., C, C) counts.
    weights
        Disagreement w of classes i and j: 1 where they differ, ``|i - j|``, or ``(i - j) ** 2``.

    Returns
    -------
    NDArray[np.float64]
        float64 (...), at most 1; NaN where no disagreement is expected: no pairs, or all in one class on both sides.
    """
    counts = np.asarray(matrices, np.float64)
    places = np.arange(counts.shape[-1])
    apart = np.abs(places[:, None] - places).astype(np.float64)
    weight = {"none": (apart > 0).astype(np.float64), "linear": apart, "quadratic": apart**2}[weights]
    observed = (weight * counts).sum(axis=(-2, -1))
    margins = counts.sum(axis=-1)[..., :, None] * counts.sum(axis=-2)[..., None, :]
    total = counts.sum(axis=(-2, -1))
    expected = (weight * margins).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return cast("NDArray[np.float64]", np.where(expected > 0, 1 - observed * total / expected, np.nan))


def draw_matrices(pairs: Pairs, settings: BootstrapSettings | None = None) -> NDArray[np.int64]:
    """Return the confusion matrices of resampled cases, int64 (draws, C, C).

    As many cases as there are, with replacement, each with all of its pairs.
    """
    s = settings or BootstrapSettings()
    n = len(pairs.class_names)
    told = pairs.answer >= 0
    _, case = np.unique(pairs.case[told], return_inverse=True)
    n_cases = int(case.max(initial=-1)) + 1
    by_case = np.zeros((n_cases, n * n), np.int64)
    np.add.at(by_case, (case, n * pairs.truth[told] + pairs.answer[told]), 1)
    if n_cases == 0:
        return np.zeros((s.draws, n, n), np.int64)
    # Cases with the same pairs are one kind, drawn as often as any of them: 20,000 patches are some 16 kinds.
    kinds, members = np.unique(by_case, axis=0, return_counts=True)
    rng = np.random.default_rng(s.seed)
    times = rng.multinomial(n_cases, members / n_cases, s.draws)
    # Whole numbers below 2**53 are exact in float64, whose product is many times faster.
    drawn = times.astype(np.float64) @ kinds.astype(np.float64)
    return drawn.astype(np.int64).reshape(s.draws, n, n)


def estimate_kappa(matrix: NDArray[np.int64], draws: NDArray[np.int64], weights: Weights) -> Estimate:
    """Return kappa of `matrix` with the 2.5 % and 97.5 % quantiles over `draws` (from `draw_matrices`)."""
    value = float(weighted_kappa(matrix, weights))
    drawn = weighted_kappa(draws, weights)
    defined = drawn[np.isfinite(drawn)]
    missing = len(drawn) - len(defined)
    if not math.isfinite(value) or len(defined) == 0:
        return Estimate(value, undefined_draws=missing)
    low, high = np.quantile(defined, [0.025, 0.975])
    return Estimate(value, float(low), float(high), missing)
