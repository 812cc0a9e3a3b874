"""Pixel metrics: the measures of Her2Net's paper, per class, from counts that add up over images.

Each measure is a ratio of the counts TP, FP, FN, TN of one class against the rest (Saha & Chakraborty, IEEE TIP
27(5), 2018, doi 10.1109/TIP.2018.2795742, eq. 8-15), or NaN where the denominator is zero. Unlabelled pixels are not
counted.

Own code: scikit-learn's metrics take one label per pixel and sort them, which is many times slower than a bincount, and
cannot start from counts. Tests compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError

__all__ = [
    "ClassMeasures",
    "PooledMeasures",
    "class_measures",
    "pixel_confusion",
    "pooled_measures",
]

_IGNORE: Final = 255

_Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClassMeasures:
    """One class against the rest; all but `correlation` and `segmentation_accuracy` are 0..1.

    Attributes
    ----------
    name
        The class.
    tp, fp, fn, tn
        Numbers of pixels.
    precision
        TP / (TP + FP), eq. 8.
    recall
        TP / (TP + FN), eq. 9.
    f_score
        2 precision recall / (precision + recall), eq. 10; as counts 2 TP / (2 TP + FP + FN).
    npv
        TN / (TN + FN), eq. 11, negative predictive value.
    accuracy
        (TP + TN) / all, eq. 12.
    fpr
        FP / (FP + TN); the paper gives no formula, this is the usual one (Fawcett 2006, doi
        10.1016/j.patrec.2005.10.010).
    dice
        2 TP / (2 TP + FP + FN) (Dice 1945, doi 10.2307/1932409), equal to `f_score` for pixels.
    dice_without_factor_2
        TP / (2 TP + FP + FN), as eq. 13 is printed; at most 0.5, so it cannot give the paper's 0.88 to 0.97.
    correlation
        -1..1, eq. 15, Pearson's correlation of the two images. For masks of one class this is Matthews' coefficient
        (Matthews 1975, doi 10.1016/0005-2795(75)90109-9). The paper says "based on pixel intensity" without saying how
        classes become intensities.
    segmentation_accuracy
        1 - misclassified / pixels in the segmented regions, eq. 14, interpreted as 1 - (FP + FN) / (TP + FP); at most
        1, and negative where errors outnumber the region.
    roc_auc
        Area under the ROC curve of the class's probability; NaN without probabilities. See `pixel_counts.PixelTally`.
    """

    name: str
    tp: int
    fp: int
    fn: int
    tn: int
    precision: float
    recall: float
    f_score: float
    npv: float
    accuracy: float
    fpr: float
    dice: float
    dice_without_factor_2: float
    correlation: float
    segmentation_accuracy: float
    roc_auc: float = math.nan


@dataclass(frozen=True, slots=True)
class PooledMeasures:
    """Metrics over all classes.

    Attributes
    ----------
    n_pixels
        Number of labelled pixels.
    accuracy
        Share classified correctly, 0..1.
    mean_f_score, mean_dice_without_factor_2, mean_roc_auc
        Means over the classes whose measure is not NaN.
    correlation
        -1..1, Matthews' coefficient for several classes (Gorodkin 2004, doi 10.1016/j.compbiolchem.2004.09.006).
    segmentation_accuracy
        Eq. 14 over all classes but the background: 1 - misclassified pixels / pixels not predicted as background.
    """

    n_pixels: int
    accuracy: float
    mean_f_score: float
    mean_dice_without_factor_2: float
    mean_roc_auc: float
    correlation: float
    segmentation_accuracy: float


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def pixel_confusion(
    truth: NDArray[np.uint8], chosen: NDArray[np.uint8], n_classes: int, *, ignore: int = _IGNORE
) -> _Counts:
    """Count pixels by true and predicted class.

    Parameters
    ----------
    truth, chosen
        uint8 of one shape, class indices; in `truth` also `ignore`.
    n_classes
        C.
    ignore
        Value of unlabelled pixels in `truth`.

    Returns
    -------
    NDArray[np.int64]
        int64 (C, C), rows are the true classes, columns the predicted ones.

    Raises
    ------
    TrainingError
        The shapes differ, or an index is not a class.
    """
    if truth.shape != chosen.shape:
        raise TrainingError(
            f"True classes have shape {truth.shape}, but predicted ones {chosen.shape}; they must be equal."
        )
    is_known = truth != ignore
    # Widened first: class times number of classes overflows uint8.
    rows, columns = truth[is_known].astype(np.int64), chosen[is_known].astype(np.int64)
    largest = max(rows.max(initial=0), columns.max(initial=0))
    if largest >= n_classes or min(rows.min(initial=0), columns.min(initial=0)) < 0:
        raise TrainingError(
            f"Class index {largest} is not one of {n_classes} classes. Check the mapping of mask values to classes."
        )
    return np.bincount(rows * n_classes + columns, minlength=n_classes**2).reshape(n_classes, n_classes)


def class_measures(
    confusion: _Counts, class_names: Sequence[str], roc_auc: Sequence[float] | None = None
) -> tuple[ClassMeasures, ...]:
    """Return the metrics of each class.

    Parameters
    ----------
    confusion
        int64 (C, C), rows are the true classes.
    class_names
        The C names.
    roc_auc
        Area under the ROC curve of each class, from `pixel_counts.PixelTally`.

    Returns
    -------
    tuple of ClassMeasures
        One for each class.
    """
    areas = [math.nan] * len(class_names) if roc_auc is None else roc_auc
    return tuple(
        _of_class(confusion, code, name, area)
        for code, (name, area) in enumerate(zip(class_names, areas, strict=True))
    )


def _of_class(confusion: _Counts, code: int, name: str, roc_auc: float) -> ClassMeasures:
    tp = int(confusion[code, code])
    fn, fp = int(confusion[code].sum()) - tp, int(confusion[:, code].sum()) - tp
    n = int(confusion.sum())
    tn = n - tp - fn - fp
    # The product of four marginals of a slide's pixels exceeds 64 bits; Python's integers do not overflow.
    root = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return ClassMeasures(
        name,
        tp,
        fp,
        fn,
        tn,
        precision=_ratio(tp, tp + fp),
        recall=_ratio(tp, tp + fn),
        f_score=_ratio(2 * tp, 2 * tp + fp + fn),
        npv=_ratio(tn, tn + fn),
        accuracy=_ratio(tp + tn, n),
        fpr=_ratio(fp, fp + tn),
        dice=_ratio(2 * tp, 2 * tp + fp + fn),
        dice_without_factor_2=_ratio(tp, 2 * tp + fp + fn),
        correlation=_ratio(tp * tn - fp * fn, root),
        segmentation_accuracy=1 - _ratio(fp + fn, tp + fp),
        roc_auc=roc_auc,
    )


def pooled_measures(
    confusion: _Counts, *, background: int = 0, roc_auc: Sequence[float] = ()
) -> PooledMeasures:
    """Return the metrics over all classes.

    Parameters
    ----------
    confusion
        int64 (C, C), rows are the true classes.
    background
        Index of the class that is not a segmented region.
    roc_auc
        Area under the ROC curve of each class; empty without probabilities.

    Returns
    -------
    PooledMeasures
        The metrics.
    """
    # Python's integers, which do not overflow: squares of a slide's pixels exceed 64 bits.
    counts = [[int(count) for count in row] for row in confusion.tolist()]
    n = sum(map(sum, counts))
    right = sum(counts[i][i] for i in range(len(counts)))
    chosen = [sum(column) for column in zip(*counts, strict=True)]
    truth = [sum(row) for row in counts]
    # Gorodkin's R_K as covariance of true and predicted class over the root of their variances.
    spread = (n**2 - sum(c * c for c in chosen)) * (n**2 - sum(t * t for t in truth))
    shared = sum(c * t for c, t in zip(chosen, truth, strict=True))
    each = class_measures(confusion, [""] * len(counts))
    return PooledMeasures(
        n_pixels=n,
        accuracy=_ratio(right, n),
        mean_f_score=_mean([one.f_score for one in each]),
        mean_dice_without_factor_2=_mean([one.dice_without_factor_2 for one in each]),
        mean_roc_auc=_mean(roc_auc),
        correlation=_ratio(right * n - shared, math.sqrt(spread)),
        segmentation_accuracy=1 - _ratio(n - right, n - chosen[background]),
    )


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
