"""Files that compare trained segmenters: tables as text, CSV and JSON, and ROC curves as pictures."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.learning.metrics.roc_figure import roc_figure, window_figure
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.report.pixel_tables import SegmenterRow, pixel_csv, pixel_tables
from qupath_her2.scoring.agreement.tables import Table, table_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qupath_her2.learning.metrics.pixel_counts import PixelTally

__all__ = ["write_table"]


def write_table(path: Path, rows: Sequence[SegmenterRow], more: Sequence[Table] = ()) -> None:
    """Write metrics as ``.csv`` (all figures), ``.txt`` (a selection, to read), ``.json``, and ROC curves as pictures.

    Parameters
    ----------
    path
        Without ending; the curves are ``NAME-roc.svg`` and, for several window sizes, ``NAME-auc.svg``.
    rows
        Networks, or one network at several window sizes.
    more
        Tables to add to the text.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    with output_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(table_text(table) for table in (*pixel_tables(rows), *more))
    sides = {row.window_px for row in rows}
    curves = {row.name if len(sides) == 1 else f"{row.name}, {row.window_px} px": row.tally for row in rows}
    replace_file(path.with_name(f"{path.name}-roc.svg"), roc_figure(curves).encode())
    if len(sides) > 1:
        points = [(row.name, row.window_px, row.tally) for row in rows]
        replace_file(path.with_name(f"{path.name}-auc.svg"), window_figure(points).encode())
    replace_file(path.with_name(f"{path.name}.csv"), pixel_csv(rows))
    replace_file(path.with_name(f"{path.name}.txt"), text.encode())
    # The full confusion matrix is stored, so that any other figure can be computed later.
    content = [
        {
            "network": row.name,
            "window_px": row.window_px,
            "parameters": row.n_parameters,
            "seconds_per_2048": row.seconds_per_crop,
            "device": row.device,
            "best_epoch": row.best_epoch,
            "training": None if row.training is None else row.training.confusion().tolist(),
            "groups": {group or "all": _figures(row.tally, group) for group in ("", *row.scores())},
        }
        for row in rows
    ]
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    replace_file(path.with_name(f"{path.name}.json"), orjson.dumps(content, option=option))


def _figures(tally: PixelTally, group: str) -> dict[str, Any]:
    chosen = group or None
    return {
        "pooled": asdict(tally.pooled(chosen)),
        "classes": [asdict(one) for one in tally.measures(chosen)],
        "confusion": tally.confusion(chosen).tolist(),
    }
