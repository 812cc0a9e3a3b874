"""Table III of Her2Net's paper: figures over mixtures of training and test images, and what pixels each part has.

Saha & Chakraborty, IEEE TIP 27(5), 2018, doi 10.1109/TIP.2018.2795742. The rows of that table run from 0 % training and
100 % test images to the reverse, and their average is the paper's headline. Since nothing can be trained on 0 % of the
training images, they are read as shares of the images that figures are computed on. All rows but the first therefore
hold images that the network was trained on: they are shown to be compared with the paper's, never as a result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.learning.metrics.pixel_metrics import class_measures
from qupath_her2.scoring.agreement.tables import NO_VALUE, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.learning.metrics.pixel_counts import PixelTally

__all__ = ["MIXTURES", "class_share_table", "mixed_confusion", "mixture_table"]

#: Shares of training images in the rows of table III.
MIXTURES = (0.0, 0.25, 0.5, 0.75, 1.0)
_FIGURES = ("precision", "recall", "f_score", "npv", "accuracy", "fpr")
_HEADER = ("precision", "recall", "F", "NPV", "accuracy", "FPR")
#: Pixels of a mixture, so many that rounding its counts does not show in a figure.
_PIXELS = 10**12


def mixed_confusion(training: NDArray[np.int64], test: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return the confusion matrix of a mixture of training and test pixels.

    Parameters
    ----------
    training, test
        int64 (C, C), rows are the true classes; neither is empty.
    share
        Share of training pixels, 0..1.

    Returns
    -------
    NDArray[np.int64]
        int64 (C, C), counts of a mixture of 10^12 pixels.
    """
    mixed = share * training / training.sum() + (1 - share) * test / test.sum()
    counts: NDArray[np.int64] = np.rint(mixed * _PIXELS).astype(np.int64)
    return counts


def mixture_table(networks: Sequence[tuple[str, PixelTally, PixelTally]]) -> Table | None:
    """Return the figures of each network over mixtures, means over the classes; None without networks.

    Parameters
    ----------
    networks
        (name, its counts on test images, its counts on training images).
    """
    lines = []
    for name, test, training in networks:
        found = [
            _means(test, mixed_confusion(training.confusion(), test.confusion(), share)) for share in MIXTURES
        ]
        for share, values in zip(MIXTURES, found, strict=True):
            lines.append((name, f"{100 * share:g}", f"{100 - 100 * share:g}", *map(_percent, values)))
        lines.append((name, "average", "", *map(_percent, np.mean(found, axis=0).tolist())))
    if not lines:
        return None
    header = ("network", "training images, %", "test images, %", *(f"{name}, %" for name in _HEADER))
    notes = (
        "as table III of the paper, whose headline is the average; means over the classes",
        "rows with training images tell what was memorised: only the first row of a network is a result",
    )
    return Table("Mixtures of training and test images", header, tuple(lines), notes)


def _means(tally: PixelTally, confusion: NDArray[np.int64]) -> list[float]:
    """Return the mean over the classes of each of `_FIGURES`; NaN where a class has none."""
    measures = class_measures(confusion, tally.class_names)
    return [sum(getattr(one, name) for one in measures) / len(measures) for name in _FIGURES]


def _percent(value: float) -> str:
    return f"{100 * value:.2f}" if math.isfinite(value) else NO_VALUE


def class_share_table(parts: dict[str, NDArray[np.int64]], class_names: Sequence[str]) -> Table:
    """Return what share of its labelled pixels each part of the split has in each class.

    Parameters
    ----------
    parts
        {part: int64 (C,), its labelled pixels by class}.
    class_names
        The C names.

    Returns
    -------
    Table
        A row for each part with labelled pixels.
    """
    lines = tuple(
        (name, f"{int(counts.sum()):,}", *(f"{100 * count / counts.sum():.1f}" for count in counts.tolist()))
        for name, counts in parts.items()
        if counts.sum()
    )
    return Table("Labelled pixels", ("part", "pixels", *(f"{name}, %" for name in class_names)), lines)
