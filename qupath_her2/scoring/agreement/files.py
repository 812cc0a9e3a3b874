"""Agreement files: ``agreement.json`` with every number, ``agreement.csv`` for spreadsheets."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.scoring.agreement.confusion_matrix import Share
from qupath_her2.scoring.agreement.tables import agreement_tables, fold_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qupath_her2.scoring.agreement.study import Agreement, FoldFigure

__all__ = ["agreement_csv", "agreement_dict", "agreement_json", "write_agreement"]

AGREEMENT_FORMAT = 1


def agreement_dict(one: Agreement, folds: Sequence[FoldFigure] = ()) -> dict[str, Any]:
    """Return all figures as JSON values: proportions as value, interval, k and n; NaN as None."""
    return {"format": AGREEMENT_FORMAT, **_plain(one), "folds": _plain(list(folds))}


def _plain(value: Any) -> Any:
    # Before the general dataclass case: its value and interval are properties, not fields.
    if isinstance(value, Share):
        return {"value": _plain(value.value), "interval": _plain(value.interval), "k": value.k, "n": value.n}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    # JSON has no NaN; other readers reject the literal that some writers emit.
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def agreement_json(one: Agreement, folds: Sequence[FoldFigure] = ()) -> bytes:
    """Return ``agreement.json``, format 1: UTF-8, sorted keys, null for a figure without a value."""
    return orjson.dumps(agreement_dict(one, folds), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)


def agreement_csv(one: Agreement, folds: Sequence[FoldFigure] = ()) -> bytes:
    """Return ``agreement.csv``: the tables one below the other with blank lines; UTF-8 with a byte order mark."""
    rows: list[Sequence[str]] = []
    for table in (*agreement_tables(one), *([fold_table(folds)] if folds else [])):
        rows += [[]] if rows else []
        rows += [[table.title], table.header, *table.rows, *([note] for note in table.notes)]
    # `csv_bytes` also disarms cells that a spreadsheet would run as a formula: `truth_by` is free text.
    return csv_bytes(rows)


def write_agreement(folder: Path, one: Agreement, folds: Sequence[FoldFigure] = ()) -> tuple[Path, Path]:
    """Write ``agreement.json`` and ``agreement.csv`` atomically.

    Parameters
    ----------
    folder
        Output folder; created if missing.
    one
        The study.
    folds
        Figures over the folds of a cross-validation, if there was one.

    Returns
    -------
    tuple[Path, Path]
        Paths of the JSON and the CSV file.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    paths = folder / "agreement.json", folder / "agreement.csv"
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    replace_file(paths[0], agreement_json(one, folds))
    replace_file(paths[1], agreement_csv(one, folds))
    return paths
