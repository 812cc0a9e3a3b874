"""Images of a training as SVG: curves over epochs, and the confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from qupath_her2.learning.metrics.epoch_metrics import EpochRecord

__all__ = ["confusion_figure", "training_curves"]

#: Okabe & Ito's colours, told apart by colour-blind people: training, validation, macro F1.
_COLOURS = ("#0072b2", "#d55e00", "#009e73")
_FONT = 'font-family="DejaVu Sans, Arial, sans-serif" font-size="12" fill="#222"'
_LEFT, _TOP, _WIDE, _HIGH, _GAP = 56, 34, 300, 190, 70


def training_curves(history: Sequence[EpochRecord]) -> str:
    """Return loss, and accuracy with macro F1, over epochs, as an SVG document.

    Parameters
    ----------
    history
        One record an epoch, at least one.
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
    top = max([value for values in losses.values() for value in values if math.isfinite(value)] or [1.0])
    panels = [
        _panel(0, "Loss", epochs, losses, _round_up(top)),
        _panel(_WIDE + _GAP, "Accuracy", epochs, shares, 1.0),
    ]
    width, height = _LEFT + 2 * _WIDE + _GAP + 50, _TOP + _HIGH + 64
    return _document(width, height, "Training curves", panels)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power * (1 + 1e-12))


def _panel(left: float, title: str, epochs: Sequence[int], lines: dict[str, list[float]], top: float) -> str:
    span = max(1, epochs[-1] - epochs[0])
    x0, y0 = _LEFT + left, _TOP

    def place(epoch: float, value: float) -> tuple[float, float]:
        return x0 + _WIDE * (epoch - epochs[0]) / span, y0 + _HIGH * (1 - value / top)

    parts = [f'<text x="{x0}" y="{y0 - 14}" {_FONT} font-weight="bold">{title}</text>']
    for k in range(5):
        y = y0 + _HIGH * (1 - k / 4)
        parts.append(f'<path d="M{x0} {y:.1f}H{x0 + _WIDE}" stroke="#ddd"/>')
        parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end" {_FONT}>{top * k / 4:.3g}</text>')
    for epoch in sorted({epochs[0], epochs[0] + span // 2, epochs[-1]}):
        x = place(epoch, 0)[0]
        parts.append(f'<text x="{x:.1f}" y="{y0 + _HIGH + 16}" text-anchor="middle" {_FONT}>{epoch}</text>')
    shown = {name: values for name, values in lines.items() if any(math.isfinite(v) for v in values)}
    key_x = x0
    for colour, (name, values) in zip(_COLOURS, shown.items(), strict=False):
        points = [place(e, v) for e, v in zip(epochs, values, strict=True) if math.isfinite(v)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        # A single epoch has no line.
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{colour}"/>' for x, y in points]
        parts.append(f'<path d="M{key_x} {y0 + _HIGH + 38}h18" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{key_x + 23}" y="{y0 + _HIGH + 42}" {_FONT}>{name}</text>')
        key_x += 32 + 7 * len(name)
    middle = x0 + _WIDE / 4
    parts.append(f'<text x="{middle}" y="{y0 + _HIGH + 16}" text-anchor="middle" {_FONT}>epoch</text>')
    return "".join(parts)


def confusion_figure(
    counts: NDArray[np.int64], class_names: Sequence[str], title: str = "Validation patches"
) -> str:
    """Return a confusion matrix as an SVG document; darker is a larger share of the true class.

    Parameters
    ----------
    counts
        int (C, C), row the true class, column the chosen one.
    class_names
        C of them.
    title
        What was counted.
    """
    cell, left, top = 74, 40 + 8 * max(map(len, class_names)), 74
    n = len(class_names)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = [
        f'<text x="16" y="24" {_FONT} font-weight="bold">{escape(title)}</text>',
        f'<text x="{left + n * cell / 2}" y="{top - 28}" text-anchor="middle" {_FONT}>chosen</text>',
        f'<text x="16" y="{top - 10}" {_FONT}>true</text>',
    ]
    for k, name in enumerate(class_names):
        middle = k * cell + cell / 2
        parts.append(
            f'<text x="{left + middle}" y="{top - 10}" text-anchor="middle" {_FONT}>{escape(name)}</text>'
        )
        parts.append(
            f'<text x="{left - 10}" y="{top + middle + 4}" text-anchor="end" {_FONT}>{escape(name)}</text>'
        )
    for row, column in np.ndindex(n, n):
        x, y, part = left + column * cell, top + row * cell, float(share[row, column])
        ink = "#fff" if part > 0.55 else "#222"
        font = _FONT.replace("#222", ink)
        parts.append(
            f'<rect x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" fill="#08306b" '
            f'fill-opacity="{0.04 + 0.9 * part:.3f}"/>'
            f'<text x="{x + cell / 2}" y="{y + 33}" text-anchor="middle" {font}>{int(counts[row, column])}</text>'
            f'<text x="{x + cell / 2}" y="{y + 50}" text-anchor="middle" {font}>{100 * part:.0f} %</text>'
        )
    return _document(left + n * cell + 16, top + n * cell + 16, title, parts)


def _document(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img"><title>{escape(title)}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
