"""Result table over all regions: ``regions.csv``, a line per region and TMA core, those without a score included.

Every image has a line, so that a table of many images can be checked for completeness: one without regions, or one that
failed, is a line of its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from qupath_her2.errors import ExchangeError
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.provenance import is_ours
from qupath_her2.records import CELL_CLASSES, PROPOSED_CLASS, Score
from qupath_her2.regions import shown_name
from qupath_her2.report.summary_table import RegionRow, percent, short_class, shown_score

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.records import SlideScore
    from qupath_her2.report.summary_table import RegionKind, SummaryRow

__all__ = ["REGION_COLUMNS", "region_rows", "regions_csv"]

_POOLED = "Measured together with the other regions of its image, which has the score."
_UM2_PER_MM2 = 1e6

REGION_COLUMNS: tuple[str, ...] = (
    "image",
    "case",
    "region",
    "kind",
    "class",
    "status",
    "score",
    *(f"{short_class(name)} %" for name in CELL_CLASSES),
    "complete membrane %",
    "H-score",
    "cells",
    "predicted class",
    "area mm2",
    "tags",
    "warnings",
    "reason",
    "guideline",
    "guideline from",
    "region id",
    "run",
)


def region_rows(record: RunRecord, score: SlideScore) -> tuple[RegionRow, ...]:
    """Return the regions of a run: scored ones in their order, then the others; TMA cores by name.

    Parameters
    ----------
    record
        Lists scored and unscored regions.
    score
        With the scores of its regions.

    Returns
    -------
    tuple[RegionRow, ...]
        Empty for an image without regions.

    Raises
    ------
    ExchangeError
        An entry of the record is damaged.
    """
    try:
        rows = [
            _row(entry, number, score)
            for number, entry in enumerate((*record.regions, *record.unscored), start=1)
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise ExchangeError(
            f"run.json of run {record.run}: an entry of 'regions' or 'unscored' is damaged ({error}). "
            "Score the image again with --force (run or predict)."
        ) from error
    if any(row.kind == "TMA core" for row in rows):
        # QuPath exports cores sorted by id; people look for A-2 after A-1 and before A-10.
        rows.sort(key=lambda row: (row.kind != "TMA core", _natural(row.name)))
    return tuple(rows)


def _row(entry: dict[str, Any], number: int, image: SlideScore) -> RegionRow:
    uuid, name, class_name = str(entry.get("uuid")), entry.get("name"), entry.get("class")
    score = image.regions.get(uuid)
    status, reason = str(entry.get("status", "pooled")), str(entry.get("reason", _POOLED))
    if score is not None:
        status, reason = score.status, score.reason
    elif "status" not in entry and image.status == "not assessable":
        # Its image was refused after it had been measured.
        status, reason = image.status, image.reason
    return RegionRow(
        id=uuid,
        name=shown_name(name, class_name, number),
        kind=_kind(entry, uuid, class_name),
        class_name=class_name,
        status=status,
        reason=reason,
        area_um2=None if entry.get("area_um2") is None else float(entry["area_um2"]),
        score=score,
    )


def _kind(entry: dict[str, Any], uuid: str, class_name: str | None) -> RegionKind:
    if entry.get("is_core"):
        return "TMA core"
    # A region of ours with another class is a proposal that a person accepted.
    if not is_ours(UUID(uuid)) or class_name not in (None, PROPOSED_CLASS):
        return "annotation"
    return "whole tissue" if class_name is None else "proposed region"


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sorting key by which ``A-2`` comes before ``A-10``."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _cells(image: SummaryRow, region: RegionRow) -> Sequence[str | None]:
    """Return the values of one line, in the order of `REGION_COLUMNS`."""
    score = shown_score(region.score or Score("not assessable", None, region.reason, ""))
    return (
        image.name,
        image.case.case,
        region.name,
        region.kind,
        region.class_name,
        region.status,
        score.score,
        *(percent(score.shares.get(name)) for name in CELL_CLASSES),
        percent(score.complete_share),
        "" if score.h_score is None else f"{score.h_score:.1f}",
        "" if region.score is None or score.prediction is not None else str(score.n_cells),
        None if score.prediction is None else score.prediction.class_name,
        "" if region.area_um2 is None else f"{region.area_um2 / _UM2_PER_MM2:.6f}",
        " | ".join(score.tags),
        " | ".join(score.warnings),
        region.reason,
        score.guideline,
        score.guideline_origin,
        region.id,
        image.run,
    )


def _image_line(image: SummaryRow) -> Sequence[str | None]:
    """Return the line of an image without regions: only what is known of it."""
    reason = (image.error if image.score is None else image.score.reason) or ""
    known = {
        "image": image.name,
        "case": image.case.case,
        "status": image.state,
        "reason": reason,
        "run": image.run,
    }
    return [known.get(column) for column in REGION_COLUMNS]


def regions_csv(rows: Iterable[SummaryRow]) -> bytes:
    """Return ``regions.csv``: one line per region, columns `REGION_COLUMNS`, shares in per cent.

    The shares, the H-score and the number of cells are those of the region alone. An image without regions has one line
    with an empty ``region``.
    """
    lines: list[Sequence[str | None]] = [REGION_COLUMNS]
    for image in rows:
        lines += [_cells(image, region) for region in image.regions] or [_image_line(image)]
    return csv_bytes(lines)
