"""A finished run as the page and other programs read it: score, shares, and the layers that can be laid over the slide.

Shares and intervals are per cent; there is an interval for each class, and the sentence of the reason names the one
that decided. Numbers of a slide that is not assessable are left out, as in every table.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.errors import ExchangeError
from qupath_her2.project.class_names import class_colour
from qupath_her2.project.visible_text import visible_text
from qupath_her2.report.heat import OVERLAYS, Overlay, read_overlays
from qupath_her2.report.html import hex_colour
from qupath_her2.report.overlay import CUT_COLOUR, NOT_MEASURED_COLOUR
from qupath_her2.report.region_table import region_rows
from qupath_her2.report.summary_table import proposed_note, shown_score
from qupath_her2.runs.cut_areas import stored_cut
from qupath_her2.server.stored_cells import has_probabilities

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.records import Score
    from qupath_her2.server.stored_cells import StoredRun

__all__ = ["cut_geojson", "pictures_of_run", "run_summary"]


def run_summary(run: StoredRun, run_dir: Path, name: str) -> dict[str, Any]:
    """Return the result of a job.

    Parameters
    ----------
    run
        The run.
    run_dir
        Its folder.
    name
        File name of the slide that people know.

    Returns
    -------
    dict[str, Any]
        JSON-serialisable.

    Raises
    ------
    ExchangeError
        The record of the run is damaged.
    """
    record, image = run.record, run.record.image
    return {
        "name": visible_text(name),
        "run": record.run,
        **_score(run.score),
        "note": proposed_note([run.score]),
        "regions": [
            {
                "id": row.id,
                "name": visible_text(row.name),
                "kind": row.kind,
                "class": row.class_name,
                "answer": row.answer,
                "reason": row.reason,
                "n_cells": None if row.score is None else row.score.n_cells,
            }
            for row in region_rows(record, run.score)
        ],
        "classes": [{"name": one, "colour": hex_colour(class_colour(one))} for one in run.cells.class_names],
        "not_measured_colour": hex_colour(NOT_MEASURED_COLOUR),
        "pixel_size_um": image.get("pixel_size_um"),
        "pixel_size_from": image.get("pixel_size_source"),
        "width_px": image.get("width"),
        "height_px": image.get("height"),
        "layers": _layers(run, run_dir),
        "version": record.versions.get("qupath-her2"),
        "research_use_only": True,
    }


def _score(score: Score) -> dict[str, Any]:
    shown = shown_score(score)
    return {
        "status": shown.status,
        "answer": shown.answer,
        "score": shown.score,
        "reason": shown.reason,
        "guideline": shown.guideline,
        "guideline_from": shown.guideline_origin,
        "shares": {name: _percent(share) for name, share in shown.shares.items()},
        "intervals": {name: [_percent(low), _percent(high)] for name, (low, high) in shown.intervals.items()},
        "complete_percent": None if shown.complete_share is None else _percent(shown.complete_share),
        "h_score": None if shown.h_score is None else round(shown.h_score, 1),
        "n_cells": shown.n_cells,
        "cells_to_next_score": shown.cells_to_next_score,
        "tags": shown.tags,
        "warnings": shown.warnings,
        "refusal_code": shown.refusal_code,
        "prediction": None if shown.prediction is None else dataclasses.asdict(shown.prediction),
    }


def _percent(share: float) -> float:
    return round(100 * share, 2)


def _layers(run: StoredRun, run_dir: Path) -> list[dict[str, Any]]:
    """Return what can be laid over the slide, in the order of drawing from the bottom."""
    layers: list[dict[str, Any]] = [
        {"id": overlay.file, "kind": "picture", **dataclasses.asdict(overlay)}
        for overlay in pictures_of_run(run, run_dir)
    ]
    if run.record.regions:
        layers.append({"id": "regions", "kind": "regions", "name": "Regions"})
    if _cut(run):
        colour = hex_colour(CUT_COLOUR)
        layers.append({"id": "cut", "kind": "cut", "name": "Cut out (pen, folds, blur)", "colour": colour})
    if len(run.cells):
        n_cells = len(run.cells)
        layers.append({"id": "cells", "kind": "cells", "name": "Cells by class", "n_cells": n_cells})
        if has_probabilities(run.cells):
            layers.append({"id": "tumour", "kind": "tumour", "name": "Cells by tumour probability"})
    return layers


def pictures_of_run(run: StoredRun, run_dir: Path) -> tuple[Overlay, ...]:
    """Return the pictures of a run with their place on the slide, such as heat maps and attention."""
    if OVERLAYS not in run.record.files:
        return ()
    overlays = read_overlays((run_dir / OVERLAYS).read_bytes())
    # Names come from a file: only those of the run itself are ever opened.
    return tuple(overlay for overlay in overlays if overlay.file in run.record.files)


def _cut(run: StoredRun) -> list[dict[str, Any]]:
    return list(run.record.settings.get("used", {}).get("cut") or [])


def cut_geojson(run: StoredRun) -> bytes:
    """Return the areas that were cut out as a GeoJSON FeatureCollection; ExchangeError where they are damaged."""
    try:
        areas = stored_cut(_cut(run))
    except (KeyError, ValueError, TypeError) as error:
        raise ExchangeError(
            f"run.json of run {run.record.run}: an entry of 'cut' is damaged ({error}). Score the slide again."
        ) from error
    features = [
        {
            "type": "Feature",
            "geometry": area.geometry.__geo_interface__,
            "properties": {"name": area.kind, "n_cells": area.n_cells},
        }
        for area in areas
    ]
    return orjson.dumps({"type": "FeatureCollection", "features": features})
