"""The table over all images: the rows, and ``summary.csv``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.records import CELL_CLASSES, CaseInfo, Score

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "PREDICTION_COLUMNS",
    "SUMMARY_COLUMNS",
    "SummaryRow",
    "predictions_csv",
    "short_class",
    "summary_csv",
]


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """What one image says in the tables.

    Attributes
    ----------
    image
        Its folder name in the exchange folder.
    name
        The file name that people know.
    case
        What is known of its case.
    state
        ``scored``, ``not assessable`` or ``failed``.
    score
        The score with its explanation, None where the image failed.
    run
        Id of the run that counts, None where the image failed.
    error
        The message, where the image failed.
    """

    image: str
    name: str
    state: str
    case: CaseInfo = field(default_factory=CaseInfo)
    score: Score | None = None
    run: str | None = None
    error: str | None = None


def short_class(name: str) -> str:
    """Return the last name of a QuPath class: ``Tumor: 2+`` gives ``2+``."""
    return name.rsplit(": ", 1)[-1]


SUMMARY_COLUMNS: tuple[str, ...] = (
    "image",
    "case",
    "site",
    "specimen",
    "status",
    "score",
    *(f"{short_class(name)} %" for name in CELL_CLASSES),
    "complete membrane %",
    "H-score",
    "cells",
    "cells to next score",
    "tags",
    "warnings",
    "reason",
    "guideline",
    "run",
)


PREDICTION_COLUMNS: tuple[str, ...] = (
    "image",
    "case",
    "network",
    "task",
    "predicted class",
    "patches",
    "class",
    "probability",
    "rule",
    "reason",
    "run",
)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def _cells(row: SummaryRow) -> Sequence[str | None]:
    score = row.score or Score(status="not assessable", score=None, reason=row.error or "", guideline="")
    next_score = score.cells_to_next_score
    return (
        row.name,
        row.case.case,
        row.case.site,
        row.case.specimen,
        row.state,
        score.score,
        *(_percent(score.shares.get(name)) for name in CELL_CLASSES),
        _percent(score.complete_share),
        "" if score.h_score is None else f"{score.h_score:.1f}",
        "" if row.score is None else str(score.n_cells),
        "" if next_score is None else str(next_score),
        " | ".join(score.tags),
        " | ".join(score.warnings),
        score.reason,
        score.guideline,
        row.run,
    )


def predictions_csv(rows: Iterable[SummaryRow]) -> bytes:
    """Return ``predictions.csv``: a line for each image and class of the network, columns `PREDICTION_COLUMNS`."""
    lines: list[Sequence[str | None]] = [PREDICTION_COLUMNS]
    for row in rows:
        said = None if row.score is None else row.score.prediction
        if said is None or row.score is None:
            continue
        first = (row.name, row.case.case, said.model, said.task, said.class_name, str(said.n_patches))
        lines += [
            (*first, name, f"{value:.4f}", said.rule, row.score.reason, row.run)
            for name, value in said.probabilities.items()
        ]
    return csv_bytes(lines)


def summary_csv(rows: Iterable[SummaryRow]) -> bytes:
    """Return ``summary.csv``: a line an image, columns `SUMMARY_COLUMNS`, shares in per cent.

    Warnings and tags are joined by `` | ``. An empty cell means "not measured".
    """
    return csv_bytes([SUMMARY_COLUMNS, *(_cells(row) for row in rows)])
