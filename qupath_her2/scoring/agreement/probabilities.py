"""What class probabilities say beyond the class they name: ranking (AUC) and honesty (calibration)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.scoring.agreement.pairs import Pairs

__all__ = ["Calibration", "area_under_roc", "calibration", "class_areas"]


def area_under_roc(score: NDArray[np.float64], is_positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: the chance that a positive ranks above a negative, ties counting half.

    The Mann-Whitney statistic (Hanley & McNeil 1982, doi 10.1148/radiology.143.1.7063747).

    Parameters
    ----------
    score
        float64 (N,), finite.
    is_positive
        bool (N,).

    Returns
    -------
    float
        0..1; NaN where either side is empty.
    """
    positives = int(is_positive.sum())
    negatives = len(is_positive) - positives
    if not positives or not negatives:
        return math.nan
    ranks = float(rankdata(score)[is_positive].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def _told(pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return truth and probabilities of the pairs that have any."""
    if pairs.probabilities is None:
        return np.zeros(0, np.int64), np.zeros((0, len(pairs.class_names)))
    has = np.isfinite(pairs.probabilities).all(axis=1)
    return pairs.truth[has], pairs.probabilities[has]


def class_areas(pairs: Pairs) -> tuple[dict[str, float], float]:
    """Return {class: AUC of its probability, that class against the rest} and their plain mean ("macro").

    A class that is absent from the truth has no area, and then there is no mean either: a mean over the classes that
    happen to be there would be another figure under the same name. Pairs that were not assessable count where their
    probabilities are known: AUC ranks, it does not answer.
    """
    truth, probabilities = _told(pairs)
    areas = {
        name: area_under_roc(probabilities[:, code], truth == code)
        for code, name in enumerate(pairs.class_names)
    }
    return areas, float(np.mean(list(areas.values())))


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far stated confidence lies from what came true.

    Attributes
    ----------
    error
        Expected calibration error, 0..1: mean over pairs of |confidence - share correct| of their bin.
    bins
        (mean confidence, share correct, number of pairs) of each bin that holds any, lowest first.
    n
        Pairs with probabilities.
    """

    error: float
    bins: tuple[tuple[float, float, int], ...]
    n: int


def calibration(pairs: Pairs, n_bins: int = 15) -> Calibration:
    """Return the calibration of the most probable class, in bins of equal width.

    Guo C et al. On calibration of modern neural networks. ICML 2017 (arXiv 1706.04599), after Naeini et al. 2015; 15
    bins are theirs. The figure depends on the bins and is biased upward for few pairs: compare it at equal N only.
    """
    truth, probabilities = _told(pairs)
    if len(truth) == 0:
        return Calibration(math.nan, (), 0)
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == truth
    # Bins are open below and closed above, as in the paper; softmax never gives 0, yet a given table may.
    place = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    bins, error = [], 0.0
    for number in np.unique(place):
        inside = place == number
        stated, met, n = float(confidence[inside].mean()), float(is_right[inside].mean()), int(inside.sum())
        bins.append((stated, met, n))
        error += n / len(truth) * abs(stated - met)
    return Calibration(error, tuple(bins), len(truth))
