"""Tables of segmentation metrics: networks compared overall, by class and by HER2 score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from qupath_her2.learning.metrics.pixel_metrics import ClassMeasures, PooledMeasures
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.report.pixel_mixtures import mixture_table
from qupath_her2.scoring.agreement.tables import NO_VALUE, Table

if TYPE_CHECKING:
    from qupath_her2.learning.metrics.pixel_counts import PixelTally

__all__ = ["SegmenterRow", "pixel_csv", "pixel_tables"]

_RESEARCH = "research use only; pixels of unknown class are not counted"
#: Columns of the table by class, named as in the Her2Net paper (Saha & Chakraborty 2018), and their attributes.
_OF_CLASS = (
    ("precision", "precision"),
    ("recall", "recall"),
    ("F", "f_score"),
    ("NPV", "npv"),
    ("accuracy", "accuracy"),
    ("FPR", "fpr"),
    ("Dice", "dice"),
    ("Dice without 2", "dice_without_factor_2"),
    ("correlation", "correlation"),
    ("segm. accuracy", "segmentation_accuracy"),
    ("AUC", "roc_auc"),
)
_OF_SCORE = tuple(one for one in _OF_CLASS if one[0] not in ("NPV", "accuracy", "FPR"))
_OF_ALL = (
    ("accuracy", "accuracy"),
    ("mean F", "mean_f_score"),
    ("mean Dice without 2", "mean_dice_without_factor_2"),
    ("correlation", "correlation"),
    ("segm. accuracy", "segmentation_accuracy"),
    ("mean AUC", "mean_roc_auc"),
)


@dataclass(frozen=True, slots=True, eq=False)
class SegmenterRow:
    """A trained network and its metrics on the test set.

    Attributes
    ----------
    name
        Name of the network.
    window_px
        Side of the windows for training and evaluation, px.
    n_parameters
        Number of trainable parameters.
    seconds_per_crop
        Inference time for 2048 x 2048 px on `device`, without reading the image, s.
    device
        Device on which the time was measured.
    best_epoch
        Epoch of the evaluated weights.
    tally
        Pixel counts on the test set, grouped by the HER2 score of the images ("" for images without one).
    training
        Pixel counts on a sample of the training windows, to be mixed with those of the test set; None without one.
    """

    name: str
    window_px: int
    n_parameters: int
    seconds_per_crop: float
    device: str
    best_epoch: int
    tally: PixelTally
    training: PixelTally | None = None

    def scores(self) -> tuple[str, ...]:
        """Return the HER2 scores that occur among the images."""
        return tuple(group for group in self.tally.groups if group)


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else NO_VALUE


def pixel_tables(rows: Sequence[SegmenterRow]) -> tuple[Table, ...]:
    """Return the summary table, the table by class and, where they are known, those by HER2 score and of mixtures.

    Parameters
    ----------
    rows
        Networks evaluated on the same test set, or one network at several window sizes.

    Returns
    -------
    tuple[Table, ...]
        Two to five tables.
    """
    head = ("network", "window, px", "parameters", "s per 2048 x 2048", "best epoch")
    summary = tuple(
        (
            row.name,
            str(row.window_px),
            f"{row.n_parameters:,}",
            f"{row.seconds_per_crop:.3g}",
            str(row.best_epoch),
            *_pooled(row, None),
        )
        for row in rows
    )
    devices = ", ".join(sorted({row.device for row in rows}))
    names = tuple(name for name, _ in _OF_ALL)
    tables = [Table("Segmentation on the test set", (*head, *names), summary, (f"on {devices}", _RESEARCH))]
    header = ("class", "network", "window, px", *(name for name, _ in _OF_CLASS))
    # Networks are listed under each class, not the reverse: one reads which network is best for a class.
    tables.append(Table("Each class against the rest", header, _classes(rows)))
    by_score = tuple(
        (score, row.name, str(row.window_px), *_pooled(row, score))
        for score in sorted({score for row in rows for score in row.scores()})
        for row in rows
    )
    if by_score:
        tables.append(Table("By HER2 score", ("score", "network", "window, px", *names), by_score))
        tables.append(_by_score_and_class(rows))
    mixtures = mixture_table(
        [(row.name, row.tally, row.training) for row in rows if row.training is not None]
    )
    return (*tables, mixtures) if mixtures is not None else tuple(tables)


def _by_score_and_class(rows: Sequence[SegmenterRow]) -> Table:
    """Return the figures of table IV of the paper for each score, class and network."""
    lines = []
    for score in sorted({score for row in rows for score in row.scores()}):
        for code in range(len(rows[0].tally.class_names)):
            for row in rows:
                figures = row.tally.measures(score)[code]
                values = (_number(getattr(figures, attribute)) for _, attribute in _OF_SCORE)
                lines.append((score, figures.name, row.name, str(row.window_px), *values))
    header = ("score", "class", "network", "window, px", *(name for name, _ in _OF_SCORE))
    return Table("Each class by HER2 score", header, tuple(lines))


def _pooled(row: SegmenterRow, group: str | None) -> tuple[str, ...]:
    figures = row.tally.pooled(group)
    return tuple(_number(getattr(figures, attribute)) for _, attribute in _OF_ALL)


def _classes(rows: Sequence[SegmenterRow]) -> tuple[tuple[str, ...], ...]:
    lines = []
    for code in range(len(rows[0].tally.class_names) if rows else 0):
        for row in rows:
            figures = row.tally.measures()[code]
            values = (_number(getattr(figures, attribute)) for _, attribute in _OF_CLASS)
            lines.append((figures.name, row.name, str(row.window_px), *values))
    return tuple(lines)


def pixel_csv(rows: Sequence[SegmenterRow]) -> bytes:
    """Return all metrics as CSV: a line for each network, score (``all`` first) and class (``all`` first).

    A cell is empty if the metric is undefined; the counts of a class are pixels.
    """
    own = (
        "network",
        "window_px",
        "n_parameters",
        "seconds_per_2048",
        "device",
        "best_epoch",
        "score",
        "class",
    )
    # Columns from the dataclasses, so that a new metric appears here by itself; pooled ones shared by name come once.
    of_class = [column.name for column in fields(ClassMeasures) if column.name != "name"]
    of_all = [column.name for column in fields(PooledMeasures) if column.name not in of_class]
    lines: list[tuple[str, ...]] = [(*own, *of_all, *of_class)]
    for row in rows:
        first = (
            row.name,
            row.window_px,
            row.n_parameters,
            f"{row.seconds_per_crop:.4g}",
            row.device,
            row.best_epoch,
        )
        for group in ("", *row.scores()):
            chosen = group or None
            for name, found in (
                ("all", row.tally.pooled(chosen)),
                *((one.name, one) for one in row.tally.measures(chosen)),
            ):
                # Pooled rows lack the columns of a class and the reverse: those cells stay empty.
                values = [_value(getattr(found, column, "")) for column in (*of_all, *of_class)]
                lines.append(tuple(map(str, (*first, group or "all", name, *values))))
    return csv_bytes(lines)


def _value(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6f}" if math.isfinite(value) else ""
    return value
