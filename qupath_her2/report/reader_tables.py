"""Figures of a reader study as CSV: ``agreement.csv``, a line per figure, and ``confusion.csv``, a line per cell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qupath_her2.project.spreadsheet import csv_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qupath_her2.scoring.agreement.confusion_matrix import Share
    from qupath_her2.scoring.agreement.kappa import Estimate
    from qupath_her2.scoring.agreement.reader_study import Comparison, Difference, Figure, ReaderStudy

__all__ = ["AGREEMENT_COLUMNS", "CONFUSION_COLUMNS", "agreement_rows", "confusion_rows", "study_csv"]

AGREEMENT_COLUMNS: tuple[str, ...] = (
    "scale",
    "comparison",
    "round",
    "first",
    "second",
    "reader",
    "figure",
    "value",
    "low",
    "high",
    "slides",
    "undefined resamples",
)
CONFUSION_COLUMNS: tuple[str, ...] = (
    "scale",
    "matrix",
    "rows",
    "columns",
    "row",
    "column",
    "readings",
    "slides",
)
#: Scale of figures that use the numbers themselves.
_NUMBERS = "numbers"


def agreement_rows(study: ReaderStudy) -> list[tuple[str, ...]]:
    """Return every figure of a study, under `AGREEMENT_COLUMNS`; empty cells where a figure has no value."""
    rows = [*_figure_rows(_NUMBERS, study.numbers), *_difference_rows(_NUMBERS, study.number_differences)]
    for scale in study.scales:
        rows += _figure_rows(scale.name, scale.figures)
        rows += _difference_rows(scale.name, scale.differences)
        for one in scale.comparisons:
            rows += _comparison_rows(scale.name, one)
    for time in study.times:
        place = ("", "time", time.round, "", "", time.reader)
        values = (time.median_s, time.low_s, time.high_s)
        rows.append(
            (*place, "seconds a slide (median and quartiles)", *map(_number, values), str(time.n), "")
        )
    return rows


def confusion_rows(study: ReaderStudy) -> list[tuple[str, ...]]:
    """Return every cell of every matrix with its slides, under `CONFUSION_COLUMNS`."""
    return [
        (
            scale.name,
            matrix.title,
            matrix.rows,
            matrix.columns,
            row_name,
            column_name,
            str(int(matrix.counts[row, column])),
            "; ".join(f"{slide} x {n}" for slide, n in matrix.slides.get((row, column), ())),
        )
        for scale in study.scales
        for matrix in scale.matrices
        for row, row_name in enumerate(scale.classes)
        for column, column_name in enumerate(scale.classes)
    ]


def study_csv(study: ReaderStudy) -> tuple[bytes, bytes]:
    """Return ``agreement.csv`` and ``confusion.csv``."""
    return (
        csv_bytes([AGREEMENT_COLUMNS, *agreement_rows(study)]),
        csv_bytes([CONFUSION_COLUMNS, *confusion_rows(study)]),
    )


def _figure_rows(scale: str, figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    return [
        (scale, "all readers", one.round, "", "", "", one.name, *_estimate(one.estimate, one.slides))
        for one in figures
    ]


def _difference_rows(scale: str, differences: Iterable[Difference]) -> list[tuple[str, ...]]:
    return [
        (scale, "difference", one.between, "", "", "", one.name, *_estimate(one.estimate, None))
        for one in differences
    ]


def _comparison_rows(scale: str, one: Comparison) -> list[tuple[str, ...]]:
    words = {"machine": "machine and reader", "readers": "two readers", "rounds": "two rounds"}
    place = (scale, words[one.kind], one.round, one.first, one.second, one.reader)
    slides = one.figures.agreement.n
    kappas = [
        (*place, f"kappa ({kind})", *_estimate(estimate, slides))
        for kind, estimate in one.figures.kappa.items()
    ]
    return [(*place, "agreement", *_share(one.figures.agreement)), *kappas]


def _share(share: Share) -> tuple[str, ...]:
    return (*map(_number, (share.value, *share.interval)), str(share.n), "")


def _estimate(estimate: Estimate, slides: int | None) -> tuple[str, ...]:
    values = (estimate.value, estimate.low, estimate.high)
    undefined = str(estimate.undefined_draws) if estimate.undefined_draws else ""
    return (*map(_number, values), "" if slides is None else str(slides), undefined)


def _number(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else ""
