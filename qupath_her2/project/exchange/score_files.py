"""``score.json`` and ``regions.geojson`` of a run: the score with its reason, and the measurements for QuPath."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import geojson
import orjson
import shapely

from qupath_her2.errors import ExchangeError
from qupath_her2.project.class_names import class_colour, split_class
from qupath_her2.project.geojson.geometry import snap
from qupath_her2.records import TUMOUR_PROBABILITY, Prediction, Region, Score, SlideScore

__all__ = ["SCORE_FORMAT", "read_score", "region_measurements", "regions_geojson", "score_json"]

SCORE_FORMAT = 1
# Sorted and indented: the same score gives the same bytes, and people read the file.
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
#: Of coordinates: QuPath's 0.01 px grid.
_DECIMALS = 2
_REQUIRED = ("status", "score", "reason", "guideline", "shares", "intervals", "n_cells", "tags", "warnings")
#: Members of proposed regions alone, and of scores by a guideline.
_OF_SOME = ("tumour_probability", "guideline_origin")
_SCORES = ("0", "1+", "2+", "3+")
_AGAIN = "Score the image again with --force (run or predict)."


def score_json(score: SlideScore) -> bytes:
    """Return ``score.json``, format 1: UTF-8, sorted keys, regions by UUID."""
    plain = _without_unknown(dataclasses.asdict(score))
    regions = {uuid: _without_unknown(region) for uuid, region in plain["regions"].items()}
    return orjson.dumps({"format": SCORE_FORMAT, **plain, "regions": regions}, option=_OPTIONS)


def _without_unknown(plain: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only some scores have, where it is unknown: the others have no such member."""
    return {name: value for name, value in plain.items() if name not in _OF_SOME or value not in (None, "")}


def read_score(data: bytes) -> SlideScore:
    """Parse the output of `score_json`.

    Raises
    ------
    ExchangeError
        Not JSON, another format, a missing key, a value of the wrong type, or a status that contradicts the score;
        the message names the place.
    """
    try:
        raw = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ExchangeError(f"score.json is not JSON ({error}). {_AGAIN}") from error
    if not isinstance(raw, dict) or raw.get("format") != SCORE_FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        raise ExchangeError(f"score.json has format {found!r}; this version reads {SCORE_FORMAT}. {_AGAIN}")
    regions = raw.get("regions")
    if not isinstance(regions, dict):
        raise ExchangeError(
            f"score.json: regions is {type(regions).__name__}, expected an object by UUID. {_AGAIN}"
        )
    return SlideScore(
        **_score_fields(raw, "the image"),
        regions={key: Score(**_score_fields(value, f"region {key}")) for key, value in regions.items()},
    )


def _score_fields(raw: Any, where: str) -> dict[str, Any]:
    """Return the validated fields of a Score."""
    if not isinstance(raw, dict):
        raise ExchangeError(
            f"score.json: the entry of {where} is {type(raw).__name__}, expected an object. {_AGAIN}"
        )
    # Fields added since the first release are optional, so that older runs stay readable.
    missing = [key for key in _REQUIRED if key not in raw]
    if missing:
        raise ExchangeError(f"score.json: {where} lacks {', '.join(missing)}. {_AGAIN}")
    is_scored = raw["status"] == "scored" and raw["score"] in _SCORES
    is_refused = raw["status"] == "not assessable" and raw["score"] is None
    is_predicted = raw["status"] == "predicted" and raw["score"] is None and raw.get("prediction") is not None
    is_proposed = raw["status"] == "proposed" and raw["score"] is None
    if not (is_scored or is_refused or is_predicted or is_proposed):
        raise ExchangeError(
            f"score.json: status {raw['status']!r} and score {raw['score']!r} of {where} contradict "
            f"each other. {_AGAIN}"
        )
    try:
        return _typed(raw)
    except (TypeError, ValueError) as error:
        raise ExchangeError(
            f"score.json: a value of {where} has the wrong type ({error}). {_AGAIN}"
        ) from error


def _typed(raw: Mapping[str, Any]) -> dict[str, Any]:
    intervals = dict(raw["intervals"])
    return {
        "status": raw["status"],
        "score": raw["score"],
        "reason": str(raw["reason"]),
        "guideline": str(raw["guideline"]),
        "shares": {str(name): float(share) for name, share in dict(raw["shares"]).items()},
        "intervals": {str(name): (float(low), float(high)) for name, (low, high) in intervals.items()},
        "complete_share": _optional(raw.get("complete_share"), float),
        "h_score": _optional(raw.get("h_score"), float),
        "n_cells": int(raw["n_cells"]),
        "cells_to_next_score": _optional(raw.get("cells_to_next_score"), int),
        "tags": tuple(map(str, raw["tags"])),
        "warnings": tuple(map(str, raw["warnings"])),
        "refusal_code": _optional(raw.get("refusal_code"), str),
        "prediction": _optional(raw.get("prediction"), _prediction),
        "tumour_probability": _optional(raw.get("tumour_probability"), float),
        "guideline_origin": str(raw.get("guideline_origin", "")),
    }


def _prediction(raw: Any) -> Prediction:
    """Return a validated prediction; TypeError or ValueError if it is not one."""
    names = [field.name for field in dataclasses.fields(Prediction)]
    if not isinstance(raw, dict) or not set(names) <= set(raw):
        raise TypeError(f"prediction must be an object with {', '.join(names)}")
    probabilities = {str(name): float(value) for name, value in dict(raw["probabilities"]).items()}
    if not all(0 <= value <= 1 for value in probabilities.values()):
        raise ValueError("a probability is outside 0..1")
    return Prediction(
        model=str(raw["model"]),
        task=str(raw["task"]),
        class_name=_optional(raw["class_name"], str),
        probabilities=probabilities,
        n_patches=int(raw["n_patches"]),
        rule=str(raw["rule"]),
    )


def _optional(value: Any, kind: Callable[[Any], Any]) -> Any:
    return None if value is None else kind(value)


def region_measurements(score: Score) -> dict[str, float]:
    """Return the measurements of a scored annotation in QuPath, without those that are unknown.

    ``HER2: Score`` is 0..3, since QuPath measurements are numbers; shares are percentages of the measured tumour
    cells. For a prediction they are the probability of each class and the number of patches; for a proposed region, the
    mean probability of tumour of its cells and their number.
    """
    if score.prediction is not None:
        shown = {f"HER2: probability {name}": p for name, p in score.prediction.probabilities.items()}
        return {**shown, "HER2: Num patches": float(score.prediction.n_patches)}
    numbers: dict[str, float | None] = {
        "HER2: Score": float(score.score.rstrip("+")) if score.score is not None else None,
        "HER2: Num tumour cells": float(score.n_cells),
        "HER2: complete %": None if score.complete_share is None else 100 * score.complete_share,
        "HER2: H-score": score.h_score,
        TUMOUR_PROBABILITY: score.tumour_probability,
    }
    if score.status == "proposed":
        numbers = {TUMOUR_PROBABILITY: score.tumour_probability, "HER2: Num cells": float(score.n_cells)}
    # By the grade alone, e.g. "HER2: 3+ %".
    for name, share in score.shares.items():
        numbers[f"HER2: {(split_class(name) or (name,))[-1]} %"] = 100 * share
    return {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}


def regions_geojson(regions: Sequence[Region], scores: Mapping[str, Score]) -> bytes:
    """Return the scored regions as a GeoJSON FeatureCollection that QuPath 0.5 to 0.7 imports.

    Parameters
    ----------
    regions
        Regions in level-0 pixels. They are written on QuPath's 0.01 px grid, on which they are kept valid.
    scores
        Scores by UUID (text form); regions without one get no measurements.

    Returns
    -------
    bytes
        UTF-8 JSON with sorted keys.
    """
    features = [_region_feature(region, scores.get(str(region.uuid))) for region in regions]
    return orjson.dumps(geojson.FeatureCollection(features), option=_OPTIONS) + b"\n"


def _region_feature(region: Region, score: Score | None) -> geojson.Feature:
    # QuPath throws an exception on null members, so unknown values are omitted.
    properties: dict[str, Any] = {"objectType": "annotation"}
    if region.name is not None:
        properties["name"] = region.name
    if region.class_name is not None:
        parts = split_class(region.class_name)
        named = {"names": parts} if len(parts) > 1 else {"name": region.class_name}
        properties["classification"] = {**named, "color": class_colour(region.class_name)}
    if region.is_locked:
        properties["isLocked"] = True
    if score is not None:
        properties["measurements"] = region_measurements(score)
    return geojson.Feature(id=str(region.uuid), geometry=_geometry(region), properties=properties)


def _geometry(region: Region) -> geojson.Polygon | geojson.MultiPolygon:
    shape = snap(region.geometry)
    parts = [
        [_ring(ring) for ring in (part.exterior, *part.interiors)]
        for part in getattr(shape, "geoms", [shape])
    ]
    # Validated once more: QuPath 0.6 and later refuse the whole file for one ring that is open or too short.
    if len(parts) == 1:
        return geojson.Polygon(parts[0], validate=True, precision=_DECIMALS)
    return geojson.MultiPolygon(parts, validate=True, precision=_DECIMALS)


def _ring(ring: shapely.LinearRing) -> list[list[float]]:
    points: list[list[float]] = shapely.get_coordinates(ring).round(_DECIMALS).tolist()
    return points
