"""Figures of a training as SVG: curves over the epochs, and the confusion matrix."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.learning.metrics.epoch_metrics import EpochRecord
from qupath_her2.models.optional import need

__all__ = ["confusion_figure", "new_figure", "svg_text", "training_curves"]

#: Okabe & Ito's colours, distinguishable with colour blindness: training, validation, macro F1.
_COLOURS = ("#0072b2", "#d55e00", "#009e73")


def training_curves(history: Sequence[EpochRecord]) -> str:
    """Plot loss, and accuracy with macro F1, over the epochs.

    Parameters
    ----------
    history
        One record per epoch, at least one.

    Returns
    -------
    str
        An SVG document, the same for the same history. Each curve is a group with the id ``loss-training``,
        ``accuracy-validation`` …; curves without a finite value are left out.
    """
    epochs = [record.epoch for record in history]
    losses = {
        "training": [record.train_loss for record in history],
        "validation": [record.validation_loss for record in history],
    }
    shares = {
        "training": [record.train_accuracy for record in history],
        "validation": [record.validation_accuracy for record in history],
        "validation, macro F1": [record.validation_macro_f1 for record in history],
    }
    figure = new_figure(9.0, 3.4)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.98, top=0.9, bottom=0.15, wspace=0.2)
    _draw_curves(left, "Loss", epochs, losses)
    _draw_curves(right, "Accuracy", epochs, shares)
    right.set_ylim(0, 1)
    return svg_text(figure, "Training curves")


def _draw_curves(axes: Any, title: str, epochs: Sequence[int], curves: dict[str, list[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for colour, (name, values) in zip(_COLOURS, curves.items(), strict=False):
        if any(map(math.isfinite, values)):
            # Markers, because a single epoch has no line.
            gid = f"{title.lower()}-{name.replace(', ', '-').replace(' ', '-')}"
            axes.plot(epochs, values, color=colour, marker=".", label=name, gid=gid)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel("epoch")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#ddd")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def confusion_figure(
    counts: NDArray[np.int64], class_names: Sequence[str], title: str = "Validation patches"
) -> str:
    """Plot a confusion matrix; darker is a larger share of the true class.

    Parameters
    ----------
    counts
        int (C, C), rows are the true classes, columns the predicted ones.
    class_names
        The C names.
    title
        Title, saying what was counted.

    Returns
    -------
    str
        An SVG document, the same for the same counts.
    """
    n = len(class_names)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(1.6 + 0.08 * max(map(len, class_names)) + 0.8 * n, 1.4 + 0.8 * n)
    axes = figure.subplots()
    # pcolormesh stays vector graphics, where imshow would embed a bitmap.
    axes.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=2)
    for row, column in np.ndindex(n, n):
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{int(counts[row, column])}\n{100 * share[row, column]:.0f} %",
            color="white" if share[row, column] > 0.55 else "#222",
            ha="center",
            va="center",
        )
    # Class names are the user's: a dollar sign must not start a formula.
    axes.set_xticks(np.arange(n) + 0.5, class_names, parse_math=False)
    axes.set_yticks(np.arange(n) + 0.5, class_names, parse_math=False)
    axes.set_title(title, fontweight="bold", parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    return svg_text(figure, title, bbox_inches="tight")


def new_figure(width_in: float, height_in: float) -> Any:
    """Return an empty figure of a size in inches."""
    need("matplotlib")
    # The class itself rather than pyplot, which would choose a window system and keep every figure in memory.
    from matplotlib.figure import Figure

    return Figure((width_in, height_in))


def svg_text(figure: Any, title: str, **options: Any) -> str:
    """Return a figure as an SVG document, the same bytes for the same figure.

    Parameters
    ----------
    figure
        The figure.
    title
        Read out by screen readers.
    **options
        Of matplotlib's ``savefig``.

    Returns
    -------
    str
        Without XML declaration and document type, so that it can also be placed inside an HTML page.
    """
    import matplotlib

    stream = io.StringIO()
    # Text stays text, and ids follow from a constant: a resumed training must write the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "qupath-her2"}):
        unnamed = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", metadata=unnamed, **options)
    document = stream.getvalue()
    return document[document.index("<svg") :].replace(
        "<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1
    )
