"""Table of a cohort: a row per image, and beneath it a row per region and TMA core, as CSV and as Parquet.

Unlike ``summary.csv``, which people open, it is for programs: numbers are numbers, what is unknown is missing, and what
a cohort is compared by (scanner, date, stain group) stands in every row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qupath_her2.project.exchange.writing import draft_of, output_errors
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.records import CELL_CLASSES, Score
from qupath_her2.report.summary_table import SummaryRow, short_class, shown_score

__all__ = [
    "COHORT_COLUMNS",
    "CohortSlide",
    "cohort_csv",
    "cohort_rows",
    "write_parquet",
]

#: Columns of text; all others are numbers.
_TEXT = (
    *("image", "level", "region", "kind", "case", "site", "specimen", "status", "score", "predicted_class"),
    *("scanner", "date", "stain_kind", "stain_group", "reason", "failure", "run", "folder"),
)
_SHARES = tuple(f"percent_{short_class(name).replace('+', '_plus').lower()}" for name in CELL_CLASSES)

COHORT_COLUMNS: tuple[str, ...] = (
    *("image", "level", "region", "kind", "case", "site", "specimen", "status", "score"),
    *_SHARES,
    *("percent_complete", "h_score", "cells", "predicted_class", "area_mm2"),
    *("scanner", "date", "stain_kind", "stain_group", "glass_grey", "cytoplasm_dab_od", "membrane_dab_od"),
    *("seconds", "reason", "failure", "run", "folder"),
)


@dataclass(frozen=True, slots=True)
class CohortSlide:
    """What is known of a slide besides its result.

    Attributes
    ----------
    scanner, date, stain_kind, stain_group
        As planned.
    area_mm2
        Area to score, mm².
    seconds
        Time that it took, s; None where it was not measured.
    failure
        Class of its failure.
    """

    scanner: str = ""
    date: str = ""
    stain_kind: str = ""
    stain_group: str = ""
    area_mm2: float | None = None
    seconds: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    """An image or one of its regions."""

    level: str
    score: Score | None
    status: str
    reason: str
    values: dict[str, Any] = field(default_factory=dict)


def cohort_rows(
    rows: Sequence[SummaryRow], places: Sequence[Path | None], slides: Mapping[str, CohortSlide], out: Path
) -> list[dict[str, Any]]:
    """Return the rows of the table: each image, followed by its regions.

    Parameters
    ----------
    rows
        The images.
    places
        Folders of their runs; None for those that failed.
    slides
        {image: what is known of it}.
    out
        The output folder, from which ``folder`` leads to the run.

    Returns
    -------
    list[dict[str, Any]]
        {column: value}, None where unknown.
    """
    found = []
    for row, place in zip(rows, places, strict=True):
        slide = slides.get(row.image, CohortSlide())
        folder = "" if place is None else place.relative_to(out).as_posix()
        image = _Part(
            "image",
            row.score,
            row.state,
            (row.error if row.score is None else row.score.reason) or "",
            {"area_mm2": slide.area_mm2, "seconds": slide.seconds, "failure": slide.failure},
        )
        regions = (
            _Part(
                "core" if one.kind == "TMA core" else "region",
                one.score,
                one.status,
                one.reason,
                {
                    "region": one.name,
                    "kind": one.kind,
                    "area_mm2": None if one.area_um2 is None else one.area_um2 / 1e6,
                },
            )
            for one in row.regions
        )
        found += [_row(row, part, slide, folder) for part in (image, *regions)]
    return found


def _row(row: SummaryRow, part: _Part, slide: CohortSlide, folder: str) -> dict[str, Any]:
    score = None if part.score is None else shown_score(part.score)
    said = None if score is None else score.prediction
    values: dict[str, Any] = dict.fromkeys(COHORT_COLUMNS)
    values |= {
        "image": row.name,
        "level": part.level,
        "case": row.case.case,
        "site": row.case.site,
        "specimen": row.case.specimen,
        "status": part.status,
        "scanner": slide.scanner or None,
        "date": slide.date or None,
        "stain_kind": slide.stain_kind or None,
        "stain_group": slide.stain_group or None,
        "glass_grey": row.staining.glass_grey,
        "cytoplasm_dab_od": row.staining.cytoplasm_dab_od,
        "membrane_dab_od": row.staining.membrane_dab_od,
        "reason": part.reason,
        "run": row.run,
        "folder": folder or None,
        **part.values,
    }
    if score is not None:
        shares = [score.shares.get(name) for name in CELL_CLASSES]
        values |= {
            "score": score.score,
            **{
                column: None if share is None else 100 * share
                for column, share in zip(_SHARES, shares, strict=True)
            },
            "percent_complete": None if score.complete_share is None else 100 * score.complete_share,
            "h_score": score.h_score,
            "cells": None if said is not None else score.n_cells,
            "predicted_class": None if said is None else said.class_name,
        }
    return values


def cohort_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the table as CSV; an empty cell is what is unknown."""
    return csv_bytes([COHORT_COLUMNS, *([_text(row[name]) for name in COHORT_COLUMNS] for row in rows)])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Write the table as Parquet, where pyarrow is installed; return whether it was written.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return False
    columns = {
        name: pyarrow.array(
            [row[name] for row in rows],
            type=pyarrow.string() if name in _TEXT else pyarrow.float64(),
        )
        for name in COHORT_COLUMNS
    }
    with output_errors(path), draft_of(path) as draft:
        pyarrow.parquet.write_table(pyarrow.table(columns), draft)
    return True
