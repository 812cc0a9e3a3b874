"""Figures from class probabilities: area under the ROC curve, and calibration.

The AUC is scikit-learn's. Calibration is our own code: scikit-learn's `calibration_curve` is for two classes, closes
its bins at the other end, and does not give the expected calibration error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
        0..1; NaN without positives or without negatives.
    """
    # Training brings scikit-learn; scoring by cells must not need it.
    from sklearn.metrics import roc_auc_score

    # scikit-learn warns and returns NaN here, and the test suite turns warnings into errors.
    if is_positive.all() or not is_positive.any():
        return math.nan
    return float(roc_auc_score(is_positive, score))


def _with_probabilities(pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return truth, int64 (M,), and probabilities, float64 (M, C), of the pairs that have probabilities."""
    if pairs.probabilities is None:
        return np.zeros(0, np.int64), np.zeros((0, len(pairs.class_names)))
    has = np.isfinite(pairs.probabilities).all(axis=1)
    return pairs.truth[has], pairs.probabilities[has]


def class_areas(pairs: Pairs) -> tuple[dict[str, float], float]:
    """Return {class: one-against-rest AUC of its probability} and their unweighted mean ("macro").

    A class that is absent from the truth has no AUC, and then the mean is NaN too: a mean over the classes that happen
    to occur would be another figure under the same name. Pairs that were not assessable count if their probabilities
    are known, because the AUC depends on ranks and not on the answer.
    """
    truth, probabilities = _with_probabilities(pairs)
    areas = {
        name: area_under_roc(probabilities[:, code], truth == code)
        for code, name in enumerate(pairs.class_names)
    }
    return areas, float(np.mean(list(areas.values())))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration of the most probable class.

    Attributes
    ----------
    error
        Expected calibration error, 0..1: mean over pairs of |confidence - accuracy| of their bin.
    bins
        (mean confidence, accuracy, number of pairs) of each non-empty bin, lowest first.
    n
        Number of pairs with probabilities.
    """

    error: float
    bins: tuple[tuple[float, float, int], ...]
    n: int


def calibration(pairs: Pairs, n_bins: int = 15) -> Calibration:
    """Return the calibration of the most probable class, in bins of equal width.

    Guo C et al. On calibration of modern neural networks. ICML 2017 (arXiv 1706.04599), after Naeini et al. 2015; the
    15 bins are theirs. The error depends on the bins and is biased upwards for few pairs: compare it at equal N only.
    """
    truth, probabilities = _with_probabilities(pairs)
    if len(truth) == 0:
        return Calibration(math.nan, (), 0)
    # Top-label calibration: only the probability of the predicted class is compared with the outcome.
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == truth
    # Bins exclude their lower and include their upper end, as in the paper; clipping puts exact 0 in the first bin.
    bin_index = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    bins, error = [], 0.0
    for number in np.unique(bin_index):
        inside = bin_index == number
        stated, correct, n = (
            float(confidence[inside].mean()),
            float(is_right[inside].mean()),
            int(inside.sum()),
        )
        bins.append((stated, correct, n))
        error += n / len(truth) * abs(stated - correct)
    return Calibration(error, tuple(bins), len(truth))
