"""Intervals of figures from probabilities: DeLong's of the area under a ROC curve, and a bootstrap over cases.

DeLong ER, DeLong DM, Clarke-Pearson DL. Biometrics 1988;44:837-845, doi 10.2307/2531595, computed by midranks (Sun X,
Xu W. IEEE Signal Process Lett 2014;21:1389-1393, doi 10.1109/LSP.2014.2337313). scikit-learn has the area and no
interval. Slides of one case are dependent: DeLong's interval is of slides, the bootstrap's of cases.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm, rankdata

from qupath_her2.scoring.agreement.kappa import BootstrapSettings, Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["bootstrap_figures", "delong_interval"]


def delong_interval(
    score: NDArray[np.floating], is_positive: NDArray[np.bool_], share: float = 0.95
) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval.

    Parameters
    ----------
    score
        float (N,), finite.
    is_positive
        bool (N,).
    share
        Coverage of the interval.

    Returns
    -------
    Estimate
        Ends clipped to 0..1; NaN without positives or negatives, and without an interval where either is one slide.
    """
    high, low = np.asarray(score, np.float64)[is_positive], np.asarray(score, np.float64)[~is_positive]
    m, n = len(high), len(low)
    if m == 0 or n == 0:
        return Estimate(math.nan)
    together = rankdata(np.concatenate([high, low]))
    # Share of negatives below each positive, and of positives above each negative; ties count half.
    of_high = (together[:m] - rankdata(high)) / n
    of_low = 1 - (together[m:] - rankdata(low)) / m
    area = float(of_high.mean())
    if m < 2 or n < 2:
        return Estimate(area)
    spread = math.sqrt(of_high.var(ddof=1) / m + of_low.var(ddof=1) / n)
    half = float(norm.ppf(0.5 + share / 2)) * spread
    return Estimate(area, max(0.0, area - half), min(1.0, area + half))


def bootstrap_figures(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    cases: Sequence[str],
    settings: BootstrapSettings | None = None,
) -> dict[str, Estimate]:
    """Return macro AUC, macro F1 and accuracy with percentile intervals over resampled cases.

    Parameters
    ----------
    truth
        int64 (N,), class of each slide.
    probabilities
        float (N, C); the most probable class is the answer.
    cases
        Case of each slide.
    settings
        Resamples and seed.

    Returns
    -------
    dict[str, Estimate]
        ``macro AUC``, ``macro F1``, ``accuracy``; resamples that lack a class count as undefined.
    """
    s = settings or BootstrapSettings()
    values = np.asarray(probabilities, np.float64)
    names, case = np.unique(np.asarray(cases, dtype=str), return_inverse=True)
    rows_of = [np.flatnonzero(case == number) for number in range(len(names))]
    rng = np.random.default_rng(s.seed)
    drawn = []
    for _ in range(s.draws):
        rows = np.concatenate([rows_of[number] for number in rng.integers(0, len(names), len(names))])
        drawn.append(_figures(truth[rows], values[rows]))
    spread = np.array(drawn)
    found = _figures(truth, values)
    return {
        name: _estimate(found[column], spread[:, column])
        for column, name in enumerate(("macro AUC", "macro F1", "accuracy"))
    }


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    known = drawn[np.isfinite(drawn)]
    if len(known) == 0 or not math.isfinite(value):
        return Estimate(value, undefined_draws=len(drawn))
    low, high = np.quantile(known, (0.025, 0.975))
    return Estimate(value, float(low), float(high), len(drawn) - len(known))


def _figures(truth: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return macro AUC, macro F1, accuracy; NaN where a class is missing."""
    # Ranks instead of scikit-learn, which takes a millisecond a call: there are thousands.
    n_classes = values.shape[1]
    answer = values.argmax(axis=1)
    areas, scores = [], []
    for code in range(n_classes):
        own = truth == code
        m, n = int(own.sum()), int((~own).sum())
        ranks = rankdata(values[:, code])
        areas.append((ranks[own].sum() - m * (m + 1) / 2) / (m * n) if m and n else math.nan)
        hits = int((own & (answer == code)).sum())
        total = m + int((answer == code).sum())
        scores.append(2 * hits / total if total else math.nan)
    return float(np.mean(areas)), float(np.mean(scores)), float((answer == truth).mean())
