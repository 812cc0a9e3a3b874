"""ROC curves of segmenters, and their area against the window size, as pictures (figure 8 of Her2Net's paper)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.learning.metrics.curves import new_figure, svg_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.learning.metrics.pixel_counts import PixelTally

__all__ = ["roc_figure", "window_figure"]

#: Okabe & Ito's colours, distinguishable with colour blindness, and a line style each, for print.
_STYLES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#cc79a7", ":"), ("#000000", "-"))
#: Least distance of two drawn points along a curve: a curve has 2,048 of them, most on top of each other.
_LEAST_STEP = 0.002


def roc_figure(tallies: Mapping[str, PixelTally]) -> str:
    """Plot the ROC curves of networks, a panel for each class against the rest.

    Parameters
    ----------
    tallies
        {network: its counts on the same test set}; at most five, with the same classes.

    Returns
    -------
    str
        An SVG document, the same for the same counts; each curve is a group with the id ``roc-CLASS-NETWORK``. Curves
        that are undefined, because no pixel or every pixel is of the class, are left out.
    """
    names = next(iter(tallies.values())).class_names
    figure = new_figure(3.4 * len(names), 3.7)
    panels = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
    figure.subplots_adjust(left=0.16 / len(names), right=0.98, top=0.9, bottom=0.14, wspace=0.08)
    for code, (name, axes) in enumerate(zip(names, panels, strict=True)):
        axes.plot((0, 1), (0, 1), color="#bbb", linewidth=0.8)
        for (colour, style), (network, tally) in zip(_STYLES, tallies.items(), strict=False):
            x, y = tally.roc_curve(code)
            if np.isnan(x[0]):
                continue
            area = tally.roc_auc()[code]
            axes.plot(
                *_thinned(x, y),
                style,
                color=colour,
                label=f"{network} {area:.3f}",
                gid=f"roc-{name}-{network}",
            )
        axes.set_title(name, loc="left", fontweight="bold", parse_math=False)
        axes.set_xlabel("false positive rate")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.005)
        axes.set_aspect("equal")
        axes.grid(color="#eee")
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="lower right", title="area under the curve")
    panels[0].set_ylabel("true positive rate")
    return svg_text(figure, "ROC curves of each class against the rest")


def _thinned(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the points of a curve that are `_LEAST_STEP` apart along it, with both ends."""
    way = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    keep = np.unique(np.floor(way / _LEAST_STEP), return_index=True)[1]
    keep = np.append(keep, len(x) - 1)
    return x[keep], y[keep]


def window_figure(rows: Sequence[tuple[str, int, PixelTally]]) -> str:
    """Plot the mean area under the ROC curves against the window size.

    Parameters
    ----------
    rows
        (network, side of its windows in px, its counts) of each training.

    Returns
    -------
    str
        An SVG document; sizes without an area are left out.
    """
    figure = new_figure(5.0, 3.4)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.14, right=0.97, top=0.9, bottom=0.16)
    for (colour, style), network in zip(_STYLES, dict.fromkeys(name for name, _, _ in rows), strict=False):
        points = sorted(
            (side, tally.pooled().mean_roc_auc)
            for name, side, tally in rows
            if name == network and math.isfinite(tally.pooled().mean_roc_auc)
        )
        if points:
            axes.plot(*zip(*points, strict=True), style, color=colour, marker="o", label=network)
    axes.set_title("Window size", loc="left", fontweight="bold")
    axes.set_xlabel("side of a window, px")
    axes.set_ylabel("mean area under the ROC curves")
    axes.grid(color="#eee")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    return svg_text(figure, "Window size against area under the ROC curves")
