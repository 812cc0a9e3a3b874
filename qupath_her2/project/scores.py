"""``score.json`` and ``regions.geojson`` of a run: the score, its reason, the numbers QuPath shows."""

from __future__ import annotations

import dataclasses
import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import shapely

from qupath_her2.errors import ExchangeError
from qupath_her2.project.geometry import snap
from qupath_her2.project.vocabulary import class_colour, split_class
from qupath_her2.records import Region, Score, SlideScore

__all__ = ["SCORE_FORMAT", "read_score", "region_measurements", "regions_geojson", "score_json"]

SCORE_FORMAT = 1
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
_TEXTS = ("status", "reason", "guideline")
_SCORES = ("0", "1+", "2+", "3+", None)


def score_json(score: SlideScore) -> bytes:
    """Return ``score.json``, format 1: UTF-8, keys sorted, regions by UUID."""
    return orjson.dumps({"format": SCORE_FORMAT, **dataclasses.asdict(score)}, option=_OPTIONS)


def read_score(data: bytes) -> SlideScore:
    """Read what `score_json` wrote; ExchangeError names the field that is not as format 1 says."""
    try:
        raw = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ExchangeError(
            f"score.json is not JSON ({error}). Score the image again with --force."
        ) from error
    if not isinstance(raw, dict) or raw.get("format") != SCORE_FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        raise ExchangeError(f"score.json has format {found!r}; this version reads {SCORE_FORMAT}.")
    regions = raw.get("regions")
    if not isinstance(regions, dict):
        raise ExchangeError("score.json: 'regions' is not an object. Score the image again with --force.")
    fields = _score_fields(raw, "score.json")
    return SlideScore(
        **fields,
        regions={key: Score(**_score_fields(value, f"region {key}")) for key, value in regions.items()},
    )


def _score_fields(raw: Any, where: str) -> dict[str, Any]:
    """Return the fields of a Score, checked."""
    if not isinstance(raw, dict) or not all(isinstance(raw.get(key), str) for key in _TEXTS):
        raise ExchangeError(
            f"{where}: status, reason and guideline must be text. Score the image again with --force."
        )
    if raw["status"] not in ("scored", "not assessable") or raw.get("score") not in _SCORES:
        raise ExchangeError(
            f"{where}: {raw['status']!r} with score {raw.get('score')!r} is not a HER2 result."
        )
    values = {field.name: raw[field.name] for field in dataclasses.fields(Score) if field.name in raw}
    for key, kind in (
        ("shares", dict),
        ("intervals", dict),
        ("tags", list),
        ("warnings", list),
        ("n_cells", int),
    ):
        if key in values and not isinstance(values[key], kind):
            raise ExchangeError(f"{where}: {key!r} is {values[key]!r}, not a {kind.__name__}.")
    values["intervals"] = {name: tuple(pair) for name, pair in values.get("intervals", {}).items()}
    values["tags"] = tuple(values.get("tags", ()))
    values["warnings"] = tuple(values.get("warnings", ()))
    return values


def region_measurements(score: Score) -> dict[str, float]:
    """Return what an annotation shows in QuPath, each name starting with ``HER2: ``; unknown ones left out.

    ``HER2: Score`` is 0..3 (QuPath's measurements are numbers), shares are percent of the measured tumour
    cells.
    """
    numbers: dict[str, float | None] = {
        "HER2: Score": float(score.score.rstrip("+")) if score.score is not None else None,
        "HER2: Num tumour cells": float(score.n_cells),
        "HER2: complete %": None if score.complete_share is None else 100 * score.complete_share,
        "HER2: H-score": score.h_score,
    }
    for name, share in score.shares.items():
        numbers[f"HER2: {(split_class(name) or (name,))[-1]} %"] = 100 * share
    return {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}


def regions_geojson(regions: Sequence[Region], scores: Mapping[str, Score]) -> bytes:
    """Return scored regions as a FeatureCollection that QuPath 0.5 to 0.7 reads.

    `scores` is by UUID in text form; regions without a score have no measurements. Coordinates are on
    QuPath's 0.01 px grid, where the shapes are still valid.
    """
    features = [_region_feature(region, scores.get(str(region.uuid))) for region in regions]
    return orjson.dumps({"type": "FeatureCollection", "features": features}, option=_OPTIONS) + b"\n"


def _region_feature(region: Region, score: Score | None) -> dict[str, Any]:
    # QuPath throws on null members, so what is not known is not written.
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
    return {
        "type": "Feature",
        "id": str(uuid.UUID(int=region.uuid.int)),
        "geometry": _geometry(region),
        "properties": properties,
    }


def _geometry(region: Region) -> dict[str, Any]:
    shape = snap(region.geometry)
    parts = [
        [_ring(ring) for ring in (part.exterior, *part.interiors)]
        for part in getattr(shape, "geoms", [shape])
    ]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _ring(ring: shapely.LinearRing) -> list[list[float]]:
    points: list[list[float]] = shapely.get_coordinates(ring).round(2).tolist()
    return points
