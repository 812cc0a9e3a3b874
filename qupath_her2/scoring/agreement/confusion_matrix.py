"""The confusion matrix, and the figures that are ratios of its cells.

A figure whose denominator is zero has no value: NaN, never 0 or 1.
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
    """`k` of `n`, with its Wilson 95 % interval: the counting error alone, of pairs taken as independent."""

    k: int
    n: int

    @property
    def value(self) -> float:
        """The share, 0..1; NaN of nothing."""
        return self.k / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends, 0..1; NaN of nothing."""
        return wilson_interval(self.k, self.n) if self.n else (math.nan, math.nan)


def confusion_matrix(pairs: Pairs) -> NDArray[np.int64]:
    """Return int64 (C, C): rows the truth, columns the answer; pairs without an answer stand nowhere in it."""
    n = len(pairs.class_names)
    told = pairs.answer >= 0
    cells = n * pairs.truth[told] + pairs.answer[told]
    return np.bincount(cells, minlength=n * n).reshape(n, n)


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class against the rest (Altman & Bland 1994, doi 10.1136/bmj.308.6943.1552 and .309.6947.102).

    Attributes
    ----------
    name
        The class.
    sensitivity
        Of the pairs truly of the class, those answered so.
    specificity
        Of all others, those answered otherwise.
    ppv
        Of the pairs answered so, those truly of the class.
    npv
        Of the pairs answered otherwise, those truly otherwise.
    f1
        Harmonic mean of sensitivity and PPV, ``2 tp / (2 tp + fp + fn)`` (van Rijsbergen 1979); NaN where neither
        truth nor answers know the class.
    """

    name: str
    sensitivity: Share
    specificity: Share
    ppv: Share
    npv: Share
    f1: float


def class_figures(matrix: NDArray[np.int64], class_names: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Return the figures of each class of a confusion matrix (rows the truth)."""
    return tuple(_one_class(matrix, code, name) for code, name in enumerate(class_names))


def _one_class(matrix: NDArray[np.int64], code: int, name: str) -> ClassFigures:
    total = int(matrix.sum())
    tp = int(matrix[code, code])
    fn, fp = int(matrix[code].sum()) - tp, int(matrix[:, code].sum()) - tp
    tn = total - tp - fn - fp
    around = 2 * tp + fp + fn
    return ClassFigures(
        name,
        Share(tp, tp + fn),
        Share(tn, tn + fp),
        Share(tp, tp + fp),
        Share(tn, tn + fn),
        2 * tp / around if around else math.nan,
    )


@dataclass(frozen=True, slots=True)
class CutFigures:
    """Agreement where the ordered classes are cut in two, as a decision on treatment cuts them.

    Positive and negative percent agreement are sensitivity and specificity under the names that FDA guidance asks for
    where the other side is a reader and not the truth (FDA, Statistical Guidance on Reporting Results from Studies
    Evaluating Diagnostic Tests, 2007).

    Attributes
    ----------
    name
        ``1+|2+`` lies between 1+ and 2+; ``null|rest`` above a first class called null.
    ppa
        Of the pairs truly above the cut, those answered above it.
    npa
        Of the pairs truly below, those answered below.
    """

    name: str
    ppa: Share
    npa: Share


def cut_figures(matrix: NDArray[np.int64], class_names: Sequence[str]) -> tuple[CutFigures, ...]:
    """Return the figures at each cut between neighbouring classes, lowest first."""
    figures = []
    for cut in range(1, len(class_names)):
        below, above = class_names[cut - 1], class_names[cut]
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
    """Return the share of pairs whose answer is two or more classes from the truth."""
    places = np.arange(len(matrix))
    far = np.abs(places[:, None] - places) >= 2
    return Share(int(matrix[far].sum()), int(matrix.sum()))
