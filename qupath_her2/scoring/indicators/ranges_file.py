"""The file of a decision table: what ``indicators fit`` writes and ``--ranges`` takes.

JSON, format 2: the table, the number of cases behind it, its held-out accuracy, and the slides it was fitted to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qupath_her2.errors import SettingsError
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.scoring.indicators.ranges import FittedOn, IndicatorRanges
from qupath_her2.scoring.rules import SCORES

__all__ = ["load_ranges", "save_ranges"]

_FORMAT = 2
_AGAIN = "Fit the ranges again: qupath-her2 indicators fit FOLDER."


def save_ranges(ranges: IndicatorRanges, path: Path) -> None:
    """Write a decision table as JSON.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    # The order of the scores is part of the format: ranges are stored by position.
    data = {"format": _FORMAT, "scores": list(SCORES), **asdict(ranges)}
    with output_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())


def load_ranges(path: Path) -> IndicatorRanges:
    """Read a decision table written by `save_ranges`.

    Raises
    ------
    SettingsError
        The file cannot be read, has another format, or contains values out of range.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"Cannot read indicator ranges from '{path}': {error}. {_AGAIN}") from error
    if not isinstance(data, Mapping) or data.get("format") != _FORMAT or data.get("scores") != list(SCORES):
        raise SettingsError(f"'{path}' does not contain indicator ranges of format {_FORMAT}. {_AGAIN}")
    try:
        ranges = {str(k): tuple((float(a), float(b)) for a, b in rows) for k, rows in data["ranges"].items()}
        numbers = (int(data["n_cases"]), int(data["tested"]), int(data["right"]))
        return IndicatorRanges(str(data["name"]), ranges, *numbers, fitted_on=_fitted_on(data["fitted_on"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"Indicator ranges in '{path}' are damaged ({error}). {_AGAIN}") from error


def _fitted_on(data: Mapping[str, Any] | None) -> FittedOn | None:
    if data is None:
        return None
    low, high = data["pixel_size_um"]
    return FittedOn(
        scanners=tuple(map(str, data["scanners"])),
        stains=tuple(map(str, data["stains"])),
        pixel_size_um=(float(low), float(high)),
        area=str(data["area"]),
        settings=str(data["settings"]),
        images=tuple(map(str, data["images"])),
    )
