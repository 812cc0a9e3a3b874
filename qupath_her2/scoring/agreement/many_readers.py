"""Agreement of many readers: Fleiss' kappa and Krippendorff's alpha, for a sample and all its resamples at once.

Fleiss JL. Measuring nominal scale agreement among many raters. Psychol Bull 1971;76:378-382, doi 10.1037/h0031619.
Krippendorff K. Content Analysis, 4th ed. 2018, chapter 12 (alpha for missing readings; metrics of each level).

Both are ratios of sums over slides, so that the sums of a resample are weighted sums of those of its slides. The
libraries `statsmodels` and `krippendorff`, which take one sample a call, check these functions in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Level", "LEVELS", "fleiss_kappa", "krippendorff_alpha"]

Level: TypeAlias = Literal["nominal", "ordinal", "interval"]
#: Levels of measurement, from the one that uses least of the values.
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")


def fleiss_kappa(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int]:
    """Return Fleiss' kappa of the slides that all readers read.

    Parameters
    ----------
    values
        float64 (N, R), readings of N slides by R readers, equal numbers for equal classes; NaN where there is none.
    weights
        float64 (B, N), from `resampling.case_weights`.

    Returns
    -------
    kappa
        float64 (B,), at most 1; NaN where no disagreement is expected.
    slides
        Number of slides used: Fleiss' kappa is defined for a fixed number of readers.
    """
    complete = np.isfinite(values).all(axis=1)
    counts = _counts(values[complete])
    n_readers = values.shape[1]
    w = weights[:, complete]
    total = w.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        agreeing = ((counts**2).sum(axis=1) - n_readers) / (n_readers * (n_readers - 1))
        observed = w @ agreeing / total
        shares = (w @ counts) / (total * n_readers)[:, None]
        expected = (shares**2).sum(axis=1)
        kappa = np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)
    return cast("NDArray[np.float64]", kappa), int(complete.sum())


def krippendorff_alpha(
    values: NDArray[np.float64], weights: NDArray[np.float64], level: Level
) -> NDArray[np.float64]:
    """Return Krippendorff's alpha; slides with fewer than two readings do not count.

    Parameters
    ----------
    values
        float64 (N, R), readings of N slides by R readers; NaN where there is none.
    weights
        float64 (B, N), from `resampling.case_weights`.
    level
        Metric of disagreement: of classes, of ranks, or of numbers.

    Returns
    -------
    NDArray[np.float64]
        float64 (B,), at most 1; NaN where all readings are equal or nothing can be compared.
    """
    paired = np.isfinite(values).sum(axis=1) >= 2
    counts, w = _counts(values[paired]), weights[:, paired]
    readings = counts.sum(axis=1)
    # Of each value in all readings of a resample.
    margins = w @ counts
    total = margins.sum(axis=1)
    if level == "nominal":
        per_slide = (readings**2 - (counts**2).sum(axis=1)) / (readings - 1)
        observed = w @ per_slide
        expected = total**2 - (margins**2).sum(axis=1)
    else:
        numbers = _numbers(values[paired], margins, level)
        # The sum of squared differences of ordered pairs: 2 (m sum x^2 - (sum x)^2).
        first, second = numbers @ counts.T, numbers**2 @ counts.T
        observed = (w * 2 * (readings * second - first**2) / (readings - 1)).sum(axis=1)
        expected = 2 * (total * (margins * numbers**2).sum(axis=1) - (margins * numbers).sum(axis=1) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Rounding leaves a trace of disagreement among equal numbers.
        alpha = 1 - (total - 1) * observed / expected
        return np.where(expected > 1e-9 * np.maximum(total**2, 1), alpha, np.nan)


def _numbers(values: NDArray[np.float64], margins: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    """Return the numbers whose squared differences are the metric, float64 (B, D) or (1, D) of D distinct values."""
    if level == "interval":
        distinct = np.unique(values[np.isfinite(values)])
        # Differences do not depend on the origin, rounding does; nor does alpha on the unit.
        spread = np.ptp(distinct) if len(distinct) else 0.0
        return np.asarray((distinct - distinct[:1]) / (spread or 1.0), np.float64)[None]
    # The ordinal metric is the difference of mid-ranks in the readings of the same resample, here as shares of all.
    ranks = np.cumsum(margins, axis=1) - margins / 2
    return np.asarray(ranks / np.maximum(margins.sum(axis=1, keepdims=True), 1), np.float64)


def _counts(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many readers gave each of the D distinct values, float64 (N, D)."""
    distinct = np.unique(values[np.isfinite(values)])
    given = values[:, :, None] == distinct
    return np.asarray(given.sum(axis=1), np.float64)
