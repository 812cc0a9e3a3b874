"""Result tables over all images: ``summary.csv``, a line per image, and ``predictions.csv``, a line per class."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.records import CELL_CLASSES, CaseInfo, Score, SlideScore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "PREDICTION_COLUMNS",
    "SUMMARY_COLUMNS",
    "RegionKind",
    "RegionRow",
    "Staining",
    "SummaryRow",
    "lists_failures",
    "percent",
    "predictions_csv",
    "proposed_note",
    "recorded_staining",
    "short_class",
    "shown_score",
    "summary_csv",
]


RegionKind = Literal["TMA core", "annotation", "whole tissue", "proposed region"]


@dataclass(frozen=True, slots=True)
class RegionRow:
    """One region of an image in the tables.

    Attributes
    ----------
    id
        Its UUID as text, the id of the annotation or core in QuPath.
    name
        Its name; class and number if it has none.
    kind
        ``TMA core``, ``annotation``, or, where no region was drawn, ``whole tissue`` or ``proposed region``.
    class_name
        Its QuPath class.
    status
        ``scored``, ``predicted``, ``proposed``, ``not assessable``, ``no tumour`` (an empty core), ``missing`` (a core
        marked so in QuPath), or ``pooled``: measured, but only the image has a score.
    reason
        The sentence that explains the score, or why there is none.
    area_um2
        Its area, µm²; None without a pixel size.
    score
        None for an unscored region.
    """

    id: str
    name: str
    kind: RegionKind
    class_name: str | None
    status: str
    reason: str
    area_um2: float | None = None
    score: Score | None = None

    @property
    def answer(self) -> str:
        """The result in a word or two: the score, the predicted class, or the status."""
        return self.status if self.score is None else self.score.answer


@dataclass(frozen=True, slots=True)
class Staining:
    """Glass and staining of a slide, None where its run does not say.

    Attributes
    ----------
    glass_grey
        Mean of red, green and blue of the glass, 0 to 255.
    cytoplasm_dab_od, membrane_dab_od
        Medians over the cells, optical density.
    """

    glass_grey: float | None = None
    cytoplasm_dab_od: float | None = None
    membrane_dab_od: float | None = None


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One image in the tables.

    Attributes
    ----------
    image
        Name of its folder in the exchange folder.
    name
        File name of the image.
    state
        ``scored``, ``predicted``, ``proposed``, ``not assessable`` or ``failed``.
    case
        Data of its case.
    score
        The score with its explanation; None if the image failed.
    run
        Id of the current run; None if the image failed.
    error
        Error message if the image failed.
    regions
        Its regions and TMA cores, those without a score included.
    staining
        Of its glass and its cells.
    """

    image: str
    name: str
    state: str
    case: CaseInfo = field(default_factory=CaseInfo)
    score: Score | None = None
    run: str | None = None
    error: str | None = None
    regions: tuple[RegionRow, ...] = ()
    staining: Staining = field(default_factory=Staining)


def recorded_staining(used: Mapping[str, Any]) -> Staining:
    """Return glass and staining of a run from ``settings.used`` of its record; earlier versions say less."""
    glass, staining = (used.get("stains") or {}).get("background_rgb"), used.get("staining") or {}
    return Staining(
        None if not glass else sum(map(float, glass)) / 3,
        staining.get("cytoplasm_dab_od"),
        staining.get("membrane_dab_od"),
    )


def proposed_note(scores: Iterable[Score | None]) -> str:
    """Return the first sentence of a table in which regions that nobody confirmed were scored; "" for any other."""
    known = [score for score in scores if score is not None]
    n = sum(
        score.status != "proposed"
        and any(one.tumour_probability is not None for one in score.regions.values())
        for score in known
        if isinstance(score, SlideScore)
    )
    if not n:
        return ""
    where = "The tumour regions" if n == len(known) else f"In {n} of {len(known)} images, the tumour regions"
    return f"{where} were proposed by the program and nobody confirmed them."


def short_class(name: str) -> str:
    """Return the last component of a QuPath class name: ``2+`` for ``Tumor: 2+``."""
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
    "guideline from",
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


def percent(share: float | None) -> str:
    """Return a share, 0..1, as a percentage for a table; empty if it is unknown."""
    # Two decimals keep the 10 % cut-offs of the guidelines readable: 9.96 % must not appear as 10 %.
    return "" if share is None else f"{100 * share:.2f}"


def shown_score(score: Score) -> Score:
    """Return a score as tables show it: without shares and H-score where it is not assessable."""
    # Few cells or the wrong stain make them meaningless, and in a table they would be read like those of any other row.
    if score.status != "not assessable":
        return score
    return replace(score, shares={}, intervals={}, complete_share=None, h_score=None)


def _cells(row: SummaryRow) -> Sequence[str | None]:
    """Return the values of one line, in the order of `SUMMARY_COLUMNS`."""
    # An empty score stands in for a failed image: its cells stay empty, and the message is the reason.
    failed = Score(status="not assessable", score=None, reason=row.error or "", guideline="")
    score = shown_score(row.score or failed)
    next_score = score.cells_to_next_score
    return (
        row.name,
        row.case.case,
        row.case.site,
        row.case.specimen,
        row.state,
        score.score,
        *(percent(score.shares.get(name)) for name in CELL_CLASSES),
        percent(score.complete_share),
        "" if score.h_score is None else f"{score.h_score:.1f}",
        "" if row.score is None else str(score.n_cells),
        "" if next_score is None else str(next_score),
        " | ".join(score.tags),
        " | ".join(score.warnings),
        score.reason,
        score.guideline,
        score.guideline_origin,
        row.run,
    )


def predictions_csv(rows: Iterable[SummaryRow]) -> bytes:
    """Return ``predictions.csv``: one line per image and class of the network, columns `PREDICTION_COLUMNS`."""
    lines: list[Sequence[str | None]] = [PREDICTION_COLUMNS]
    for row in rows:
        prediction = None if row.score is None else row.score.prediction
        if prediction is None or row.score is None:
            continue
        first = (
            row.name,
            row.case.case,
            prediction.model,
            prediction.task,
            prediction.class_name,
            str(prediction.n_patches),
        )
        lines += [
            (*first, name, f"{value:.4f}", prediction.rule, row.score.reason, row.run)
            for name, value in prediction.probabilities.items()
        ]
    return csv_bytes(lines)


def summary_csv(rows: Iterable[SummaryRow]) -> bytes:
    """Return ``summary.csv``: one line per image, columns `SUMMARY_COLUMNS`, shares in per cent.

    Warnings and tags are joined by `` | ``. An empty cell means "not measured", which differs from 0.
    """
    return csv_bytes([SUMMARY_COLUMNS, *(_cells(row) for row in rows)])


def lists_failures(summary: bytes) -> bool:
    """Return whether a ``summary.csv`` has a line of a failed image."""
    text = io.StringIO(summary.decode("utf-8-sig", "replace"), newline="")
    return any(row.get("status") == "failed" for row in csv.DictReader(text))
