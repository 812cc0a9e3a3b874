"""The confusion matrix and the proportions computed from it.

A figure whose denominator is zero has no value: NaN, never 0 or 1. The counts come from scikit-learn. The figures are
our own sums over the matrix: scikit-learn's `precision_recall_fscore_support` gives neither specificity and NPV nor
the numerators and denominators that confidence intervals need.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.scoring.intervals import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qupath_her2.scoring.agreement.pairs import Pairs

__all__ = [
    "ClassFigures",
    "CutFigures",
    "Share",
    "class_figures",
    "confusion_matrix",
    "cut_figures",
    "off_by_two",
]


@dataclass(frozen=True, slots=True)
class Share:
    """A proportion, `k` of `n`, with its Wilson 95 % interval, which treats pairs as independent."""

    k: int
    n: int

    @property
    def value(self) -> float:
        """The proportion, 0..1; NaN if `n` is 0."""
        return self.k / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the interval, 0..1; NaN if `n` is 0."""
        return wilson_interval(self.k, self.n) if self.n else (math.nan, math.nan)


def confusion_matrix(pairs: Pairs) -> NDArray[np.int64]:
    """Return the confusion matrix, int64 (C, C): truth in rows, answers in columns; pairs without answer left out."""
    # Training brings scikit-learn; scoring by cells must not need it.
    from sklearn.metrics import confusion_matrix as count_pairs

    answered = pairs.answer >= 0
    codes = range(len(pairs.class_names))
    if not answered.any():  # which scikit-learn refuses
        return np.zeros((len(codes), len(codes)), np.int64)
    matrix = count_pairs(pairs.truth[answered], pairs.answer[answered], labels=codes)
    return np.asarray(matrix, np.int64)


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class against the rest (Altman & Bland 1994, doi 10.1136/bmj.308.6943.1552 and .309.6947.102).

    Attributes
    ----------
    name
        Name of the class.
    sensitivity
        True positives among all pairs of the class.
    specificity
        True negatives among all pairs of other classes.
    ppv
        True positives among all pairs answered as the class.
    npv
        True negatives among all pairs answered as other classes.
    f1
        Harmonic mean of sensitivity and PPV, ``2 tp / (2 tp + fp + fn)`` (van Rijsbergen 1979); NaN if the class
        occurs neither in the truth nor in the answers.
    """

    name: str
    sensitivity: Share
    specificity: Share
    ppv: Share
    npv: Share
    f1: float


def class_figures(matrix: NDArray[np.int64], class_names: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Return the figures of each class of a confusion matrix (truth in rows)."""
    return tuple(_one_class(matrix, code, name) for code, name in enumerate(class_names))


def _one_class(matrix: NDArray[np.int64], code: int, name: str) -> ClassFigures:
    total = int(matrix.sum())
    tp = int(matrix[code, code])
    fn, fp = int(matrix[code].sum()) - tp, int(matrix[:, code].sum()) - tp
    # One class against the rest: everything neither truly nor answered as this class.
    tn = total - tp - fn - fp
    f1_denominator = 2 * tp + fp + fn
    return ClassFigures(
        name,
        Share(tp, tp + fn),
        Share(tn, tn + fp),
        Share(tp, tp + fp),
        Share(tn, tn + fn),
        2 * tp / f1_denominator if f1_denominator else math.nan,
    )


@dataclass(frozen=True, slots=True)
class CutFigures:
    """Agreement on ordered classes dichotomised at a cut-off, as a treatment decision does.

    Positive and negative percent agreement are sensitivity and specificity, under the names that FDA guidance requires
    where the comparator is a reader and not the truth (FDA, Statistical Guidance on Reporting Results from Studies
    Evaluating Diagnostic Tests, 2007).

    Attributes
    ----------
    name
        ``1+|2+`` is the cut-off between 1+ and 2+; ``null|rest`` the one above a first class called null.
    ppa
        Positive percent agreement: pairs answered above the cut-off among those truly above it.
    npa
        Negative percent agreement: pairs answered below the cut-off among those truly below it.
    """

    name: str
    ppa: Share
    npa: Share


def cut_figures(matrix: NDArray[np.int64], class_names: Sequence[str]) -> tuple[CutFigures, ...]:
    """Return the figures at each cut-off between neighbouring classes, lowest first."""
    figures = []
    for cut in range(1, len(class_names)):
        below, above = class_names[cut - 1], class_names[cut]
        # Truth is in rows: rows from `cut` on are truly above, columns from `cut` on are answered above.
        low, high = matrix[:cut], matrix[cut:]
        figures.append(
            CutFigures(
                "null|rest" if cut == 1 and below == "null" else f"{below}|{above}",
                Share(int(high[:, cut:].sum()), int(high.sum())),
                Share(int(low[:, :cut].sum()), int(low.sum())),
            )
        )
    return tuple(figures)


def off_by_two(matrix: NDArray[np.int64]) -> Share:
    """Return the proportion of pairs whose answer is two or more classes away from the truth."""
    codes = np.arange(len(matrix))
    # Errors of two classes (0 read as 2+) change treatment; neighbouring classes are confused by readers too.
    far = np.abs(codes[:, None] - codes) >= 2
    return Share(int(matrix[far].sum()), int(matrix.sum()))
