"""Precision-recall and ROC curves of a network that tells two classes apart, as figures and as a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.learning.metrics.curves import new_figure, svg_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PrecisionRecall", "precision_recall", "precision_recall_figure"]

_COLOUR = "#0072b2"


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """Curves of one class against the other; figures are NaN without positives or without negatives.

    Attributes
    ----------
    n, n_positive
        Numbers of items, and of those that are of the class.
    precision, recall
        float64 (T + 1,), at rising thresholds, ending at precision 1 and recall 0.
    false_positive, true_positive
        float64 (U,), rates of the ROC curve at falling thresholds.
    average_precision
        Sum over thresholds of precision times the step in recall, without interpolation (scikit-learn's).
    area
        Under the ROC curve.
    """

    n: int
    n_positive: int
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    false_positive: NDArray[np.float64]
    true_positive: NDArray[np.float64]
    average_precision: float
    area: float


def precision_recall(score: NDArray[np.floating], is_positive: NDArray[np.bool_]) -> PrecisionRecall:
    """Return the curves of a score.

    Parameters
    ----------
    score
        float (N,), finite, higher for the class.
    is_positive
        bool (N,).

    Returns
    -------
    PrecisionRecall
        With empty curves where one of the two classes has no item.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    n, n_positive = len(score), int(is_positive.sum())
    # scikit-learn warns then, and returns figures of no meaning.
    if n_positive in (0, n):
        none = np.zeros(0)
        return PrecisionRecall(n, n_positive, none, none, none, none, math.nan, math.nan)
    precision, recall, _ = precision_recall_curve(is_positive, score)
    false, true, _ = roc_curve(is_positive, score)
    return PrecisionRecall(
        n,
        n_positive,
        precision,
        recall,
        false,
        true,
        float(average_precision_score(is_positive, score)),
        float(roc_auc_score(is_positive, score)),
    )


def precision_recall_figure(found: PrecisionRecall, title: str) -> str:
    """Plot ROC and precision-recall curve side by side, as figure 6 of Che et al. 2023 (10.3390/diagnostics13020263).

    Parameters
    ----------
    found
        With curves.
    title
        What was told apart, and on what.

    Returns
    -------
    str
        An SVG document; the curves are groups with the ids ``roc`` and ``precision-recall``.
    """
    figure = new_figure(8.0, 4.1)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.08, right=0.98, top=0.84, bottom=0.13, wspace=0.22)
    figure.suptitle(title, x=0.08, ha="left", fontweight="bold", parse_math=False)
    _draw(left, "roc", found.false_positive, found.true_positive)
    left.plot((0, 1), (0, 1), color="#bbb", linewidth=0.8)
    left.set(
        title=f"area under the curve {found.area:.3f}",
        xlabel="false positive rate",
        ylabel="true positive rate",
    )
    _draw(right, "precision-recall", found.recall, found.precision)
    # What chance would give.
    right.axhline(found.n_positive / found.n, color="#bbb", linewidth=0.8)
    right.set(title=f"average precision {found.average_precision:.3f}", xlabel="recall", ylabel="precision")
    return svg_text(figure, title)


def _draw(axes: Any, gid: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    # Thousands of points lie on each other: every k-th and the last are enough for a picture.
    keep = np.append(np.arange(0, len(x) - 1, max(1, len(x) // 500)), len(x) - 1)
    axes.plot(x[keep], y[keep], color=_COLOUR, gid=gid)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.01)
    axes.grid(color="#eee")
    axes.spines[["top", "right"]].set_visible(False)
