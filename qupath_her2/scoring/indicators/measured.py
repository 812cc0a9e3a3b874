"""The file of a measured image: its indicators, and what it was like as far as the ranges depend on it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import orjson

from qupath_her2.errors import ExchangeError
from qupath_her2.scoring.indicators.applicability import MeasuredOn
from qupath_her2.scoring.indicators.slide import SlideIndicators

__all__ = ["MEASURED", "measured_json", "read_measured"]

#: Name of the file in the folder of a run.
MEASURED = "indicators.json"
_FORMAT = 1


def measured_json(slide: SlideIndicators, where: MeasuredOn) -> bytes:
    """Return the content of the file; a ratio that was not measured is null."""
    data = {"format": _FORMAT, "indicators": asdict(slide), "measured_on": asdict(where)}
    # NaN becomes null: orjson's rule, and JSON's only way to say "unknown".
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"


def read_measured(data: bytes) -> tuple[SlideIndicators, MeasuredOn]:
    """Read a file written by `measured_json`.

    Raises
    ------
    ExchangeError
        It has another format.
    """
    try:
        content: Any = orjson.loads(data)
        if content["format"] != _FORMAT:
            raise ExchangeError(f"{MEASURED} has format {content['format']}; this version reads {_FORMAT}.")
        values: dict[str, Any] = {
            name: math.nan if v is None else v for name, v in content["indicators"].items()
        }
        return SlideIndicators(**values), MeasuredOn(**content["measured_on"])
    except (ValueError, KeyError, TypeError) as error:
        raise ExchangeError(
            f"{MEASURED} is damaged ({error}). Measure the image again with --force."
        ) from error
