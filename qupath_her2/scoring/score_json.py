"""``score.json``, format 1: a `SlideScore` as plain data and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qupath_her2.errors import ExchangeError
from qupath_her2.records import Score, SlideScore
from qupath_her2.scoring.guideline import SCORES

__all__ = ["SCORE_FORMAT", "score_from_dict", "score_to_dict"]

#: Version of the layout; a reader refuses any other.
SCORE_FORMAT = 1

_REQUIRED = ("status", "score", "reason", "guideline", "shares", "intervals", "n_cells", "tags", "warnings")


def score_to_dict(score: SlideScore) -> dict[str, Any]:
    """Return the content of ``score.json`` in JSON types, in the order of the record, regions by UUID."""
    return {
        "format": SCORE_FORMAT,
        **_plain(score),
        "regions": {uuid: _plain(region) for uuid, region in score.regions.items()},
    }


def _plain(score: Score) -> dict[str, Any]:
    return {
        "status": score.status,
        "score": score.score,
        "reason": score.reason,
        "guideline": score.guideline,
        "shares": dict(score.shares),
        "intervals": {name: list(ends) for name, ends in score.intervals.items()},
        "complete_share": score.complete_share,
        "h_score": score.h_score,
        "n_cells": score.n_cells,
        "cells_to_next_score": score.cells_to_next_score,
        "tags": list(score.tags),
        "warnings": list(score.warnings),
        "refusal_code": score.refusal_code,
    }


def score_from_dict(data: Mapping[str, Any]) -> SlideScore:
    """Return the score that ``score.json`` holds.

    Raises
    ------
    ExchangeError : another format, a missing key, an unknown status or score, or a value of the wrong type.
    """
    if data.get("format") != SCORE_FORMAT:
        raise ExchangeError(
            f"score.json has format {data.get('format')!r}; this version reads {SCORE_FORMAT}. "
            "Score the image again."
        )
    regions = data.get("regions", {})
    if not isinstance(regions, Mapping):
        raise ExchangeError(f"score.json: regions is {type(regions).__name__}, expected an object by UUID.")
    parsed = {str(uuid): Score(**_columns(region, f"region {uuid}")) for uuid, region in regions.items()}
    return SlideScore(**_columns(data, "the image"), regions=parsed)


def _columns(data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ExchangeError(f"score.json: the entry of {where} is {type(data).__name__}, expected an object.")
    missing = [key for key in _REQUIRED if key not in data]
    if missing:
        raise ExchangeError(f"score.json: {where} lacks {', '.join(missing)}. Score the image again.")
    scored = data["status"] == "scored" and data["score"] in SCORES
    refused = data["status"] == "not assessable" and data["score"] is None
    if not scored and not refused:
        raise ExchangeError(
            f"score.json: status {data['status']!r} and score {data['score']!r} at {where} do not "
            "go together. Score the image again."
        )
    try:
        return _typed(data)
    except (TypeError, ValueError) as error:
        raise ExchangeError(f"score.json: a value of {where} has the wrong type ({error}).") from error


def _typed(data: Mapping[str, Any]) -> dict[str, Any]:
    intervals = {
        str(name): (float(low), float(high)) for name, (low, high) in dict(data["intervals"]).items()
    }
    return {
        "status": data["status"],
        "score": data["score"],
        "reason": str(data["reason"]),
        "guideline": str(data["guideline"]),
        "shares": {str(name): float(share) for name, share in dict(data["shares"]).items()},
        "intervals": intervals,
        "complete_share": _optional(data.get("complete_share"), float),
        "h_score": _optional(data.get("h_score"), float),
        "n_cells": int(data["n_cells"]),
        "cells_to_next_score": _optional(data.get("cells_to_next_score"), int),
        "tags": tuple(map(str, data["tags"])),
        "warnings": tuple(map(str, data["warnings"])),
        "refusal_code": _optional(data.get("refusal_code"), str),
    }


def _optional(value: Any, kind: type) -> Any:
    return None if value is None else kind(value)
