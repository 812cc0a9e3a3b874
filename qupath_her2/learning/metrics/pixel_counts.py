"""Pixel counts that add up over images and processes: metrics and ROC curves of whole test sets.

Own code for the ROC curves: scikit-learn's need all probabilities of a test set at once, hundreds of millions of
pixels. The area under a curve is scikit-learn's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError
from qupath_her2.learning.metrics.pixel_metrics import (
    ClassMeasures,
    PooledMeasures,
    class_measures,
    pixel_confusion,
    pooled_measures,
)

__all__ = ["PixelTally"]

#: Probabilities are binned by their log odds: those of a confident network differ in the seventh digit only.
_MOST_LOGIT: Final = 16.0
_BINS_A_UNIT: Final = 64
_N_BINS: Final = int(2 * _MOST_LOGIT * _BINS_A_UNIT)

_Counts = NDArray[np.int64]


@dataclass(slots=True)
class PixelTally:
    """Pixel counts, added image by image, for each group of images (HER2 score) and for all of them.

    The area under the ROC curve is the probability that a pixel of the class scores higher than a pixel of another
    class, ties counting half (Hanley & McNeil 1982, doi 10.1148/radiology.143.1.7063747). Probabilities are stored as
    histograms of their log odds, clipped to -16..16 in steps of 1/64. Values in one bin count as ties, so the error of
    the area is at most half their share of all pairs.

    Attributes
    ----------
    class_names
        The C classes, in the order of the indices.
    background
        Index of the class that is not a segmented region.
    ignore
        Value of unlabelled pixels.
    """

    class_names: tuple[str, ...]
    background: int = 0
    ignore: int = 255
    _confusion: dict[str, _Counts] = field(default_factory=dict)
    _histograms: dict[str, _Counts] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, sorted."""
        return tuple(sorted(self._confusion))

    def add(self, truth: NDArray[np.uint8], probabilities: NDArray[np.floating], *, group: str = "") -> None:
        """Count the pixels of an image.

        Parameters
        ----------
        truth
            uint8 (H, W), class indices or `ignore`.
        probabilities
            float (C, H, W), 0..1; the largest is the prediction, the first of equal ones.
        group
            Name of its group, e.g. the image's HER2 score.

        Raises
        ------
        TrainingError
            The shapes differ, an index is not a class, or a probability of a labelled pixel is outside 0..1 or NaN.
        """
        n = len(self.class_names)
        if probabilities.shape != (n, *truth.shape):
            raise TrainingError(f"Probabilities have shape {probabilities.shape}, not {(n, *truth.shape)}.")
        chosen = probabilities.argmax(axis=0).astype(np.uint8)
        counts = pixel_confusion(truth, chosen, n, ignore=self.ignore)
        is_known = truth != self.ignore
        known, values = truth[is_known], probabilities[:, is_known].astype(np.float64)
        if not ((values >= 0) & (values <= 1)).all():
            raise TrainingError(
                "A probability is outside 0..1 or NaN; apply softmax to the network's output first."
            )
        # Nothing is added before all checks have passed: a refused image leaves the counts as they were.
        bins = np.stack([_histogram(values[code], known == code) for code in range(n)])
        self._confusion[group] = self._confusion.get(group, 0) + counts
        self._histograms[group] = self._histograms.get(group, 0) + bins

    def merge(self, other: PixelTally) -> None:
        """Add the counts of another tally; TrainingError if its classes differ."""
        if (other.class_names, other.background) != (self.class_names, self.background):
            raise TrainingError(
                f"Counts of classes {self.class_names} and {other.class_names} cannot be added: the classes differ."
            )
        for group in other.groups:
            self._confusion[group] = self._confusion.get(group, 0) + other._confusion[group]
            self._histograms[group] = self._histograms.get(group, 0) + other._histograms[group]

    def confusion(self, group: str | None = None) -> _Counts:
        """Return int64 (C, C), rows are the true classes, of a group or (None) of all; zeros for an unknown group."""
        n = len(self.class_names)
        found = [c for name, c in self._confusion.items() if group in (None, name)]
        return np.sum(found, axis=0, dtype=np.int64) if found else np.zeros((n, n), np.int64)

    def roc_curve(
        self, code: int, group: str | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return false and true positive rates at falling thresholds, from (0, 0) to (1, 1); NaN if undefined."""
        found = [h[code] for name, h in self._histograms.items() if group in (None, name)]
        rest, own = np.sum(found, axis=0) if found else np.zeros((2, _N_BINS), np.int64)
        # From the highest bin downwards: the cumulative counts are those above a falling threshold.
        false, true = (np.append(0, np.cumsum(bins[::-1])).astype(np.float64) for bins in (rest, own))
        if not false[-1] or not true[-1]:
            return np.full(len(false), np.nan), np.full(len(true), np.nan)
        return false / false[-1], true / true[-1]

    def roc_auc(self, group: str | None = None) -> tuple[float, ...]:
        """Return each class's area under the ROC curve; NaN for a class that no pixel or every pixel has."""
        from sklearn.metrics import auc

        curves = (self.roc_curve(code, group) for code in range(len(self.class_names)))
        return tuple(math.nan if np.isnan(x[0]) else float(auc(x, y)) for x, y in curves)

    def measures(self, group: str | None = None) -> tuple[ClassMeasures, ...]:
        """Return the metrics of each class, of a group or (None) of all images."""
        return class_measures(self.confusion(group), self.class_names, self.roc_auc(group))

    def pooled(self, group: str | None = None) -> PooledMeasures:
        """Return the metrics over all classes, of a group or (None) of all images."""
        return pooled_measures(self.confusion(group), background=self.background, roc_auc=self.roc_auc(group))


def _histogram(probability: NDArray[np.float64], is_class: NDArray[np.bool_]) -> _Counts:
    """Return the histogram of log odds, int64 (2, bins): of pixels of other classes, and of this one."""
    # Probabilities of exactly 0 and 1 have infinite log odds, which the clipping puts into the outermost bins.
    with np.errstate(divide="ignore"):
        logit = np.log(probability) - np.log1p(-probability)
    place = np.floor((np.clip(logit, -_MOST_LOGIT, _MOST_LOGIT) + _MOST_LOGIT) * _BINS_A_UNIT)
    # One bincount for both histograms: pixels of the class are shifted by the number of bins.
    bins = np.minimum(place.astype(np.int64), _N_BINS - 1) + _N_BINS * is_class
    return np.bincount(bins, minlength=2 * _N_BINS).reshape(2, _N_BINS)
