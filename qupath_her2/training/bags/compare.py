"""Comparison of approaches on the same folds: each cell of the table is trained once, kept, and read back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from qupath_her2.learning.train.training_state import STATE_FILE
from qupath_her2.patches.splits import case_groups, with_split
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.scoring.agreement.study import figures_of
from qupath_her2.scoring.agreement.tables import NO_VALUE, Table
from qupath_her2.training.bags.bag_job import check_no_leak

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.scoring.agreement.study import Agreement

__all__ = ["Approach", "ComparedRow", "comparison_table", "compare", "on_folds_of", "write_comparison"]

#: Digest of the training that a cell's folder was begun for.
_BEGUN = "begun.txt"
#: Figures of the table and their headings.
_SHOWN = {"macro AUC": "AUC", "macro F1": "F1", "accuracy": "accuracy"}


@dataclass(frozen=True, slots=True, eq=False)
class Approach:
    """One training per fold that gives one row of the table, or several.

    Attributes
    ----------
    name
        Folder of its results, and the row's name where it gives one.
    kind
        Approach of the paper, in words.
    settings
        Plain values that its figures depend on, for the hash.
    run
        Takes the slides split for a fold, and a folder; returns {row: agreement of the fold's test slides}.
    """

    name: str
    kind: str
    settings: Any
    run: Callable[[PatchManifest, Path], Mapping[str, Agreement]]


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A row of the table.

    Attributes
    ----------
    name, kind
        Network or head, and approach.
    n_slides
        Test slides over all folds.
    folds
        {figure: value of each fold}; NaN where undefined.
    """

    name: str
    kind: str
    n_slides: int
    folds: Mapping[str, tuple[float, ...]]

    def mean_sd(self, figure: str) -> tuple[float, float]:
        """Return mean and sample SD over the folds that have a value; NaN without one."""
        known = [value for value in self.folds.get(figure, ()) if math.isfinite(value)]
        mean = float(np.mean(known)) if known else math.nan
        return mean, float(np.std(known, ddof=1)) if len(known) > 1 else math.nan


def compare(
    approaches: Sequence[Approach],
    splits: Sequence[PatchManifest],
    out: Path,
    *,
    begin: Callable[[str, int, bool], None] | None = None,
    restart: bool = False,
) -> tuple[ComparedRow, ...]:
    """Run every approach on every fold; finished cells are read back, a stopped one goes on where it was.

    Parameters
    ----------
    approaches
        Of the table, in its order.
    splits
        The slides, split for each fold.
    out
        Folder of the results, one folder below it for each approach and fold.
    begin
        Called with approach, number of the fold from 1, and whether it is finished already.
    restart
        Train everything again.

    Returns
    -------
    tuple[ComparedRow, ...]
        Rows in the order of the approaches.

    Raises
    ------
    TrainingError
        A case lies in two parts of a fold.
    OutputError
        `out` cannot be written.
    """
    for number, slides in enumerate(splits, start=1):
        check_no_leak(slides, f"Fold {number}")
    rows: list[ComparedRow] = []
    for approach in approaches:
        cells: list[dict[str, dict[str, Any]]] = []
        for number, slides in enumerate(splits, start=1):
            # Names such as timm:NAME: Windows allows no colon in a folder's name.
            place = out / approach.name.replace(":", "-").replace("/", "-") / f"fold-{number:02d}"
            digest = _digest(approach, slides)
            cell = None if restart else _read(place, digest)
            if begin is not None:
                begin(approach.name, number, cell is not None)
            if cell is None:
                _prepare(place, digest, restart)
                found = approach.run(slides, place)
                cell = {name: {"n": one.n, "figures": figures_of(one)} for name, one in found.items()}
                _write(place, digest, cell)
                # The optimiser's moments of a network take three times the room of its weights, and serve no more.
                (place / STATE_FILE).unlink(missing_ok=True)
                # Read back, so that a resumed table cannot differ from a fresh one by rounding.
                cell = _read(place, digest) or cell
            cells.append(cell)
        rows += _rows(approach, cells)
    return tuple(rows)


def _rows(approach: Approach, cells: Sequence[dict[str, dict[str, Any]]]) -> list[ComparedRow]:
    names = list(dict.fromkeys(name for cell in cells for name in cell))
    found = []
    for name in names:
        own = [cell.get(name, {"n": 0, "figures": {}}) for cell in cells]
        figures = list(dict.fromkeys(figure for one in own for figure in one["figures"]))
        folds = {figure: tuple(_value(one["figures"].get(figure)) for one in own) for figure in figures}
        found.append(ComparedRow(name, approach.kind, sum(one["n"] for one in own), folds))
    return found


def _value(value: float | None) -> float:
    # JSON has no NaN.
    return math.nan if value is None else float(value)


def _digest(approach: Approach, slides: PatchManifest) -> str:
    rows = zip(slides.image.tolist(), slides.label.tolist(), slides.split.tolist(), strict=True)
    content = {
        "approach": approach.name,
        "settings": approach.settings,
        "classes": slides.class_names,
        "slides": [
            [slides.images[image].id, slides.images[image].fingerprint, *rest] for image, *rest in rows
        ],
    }
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()


def _read(place: Path, digest: str) -> dict[str, dict[str, Any]] | None:
    try:
        content = orjson.loads((place / "figures.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(content, dict) or content.get("digest") != digest:
        return None
    rows: dict[str, dict[str, Any]] = content["rows"]
    return rows


def _prepare(place: Path, digest: str, restart: bool) -> None:
    """Remove the state of a training with other settings, which could not be resumed."""
    mark = place / _BEGUN
    with output_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        if restart or not mark.exists() or mark.read_text(encoding="ascii") != digest:
            (place / STATE_FILE).unlink(missing_ok=True)
    replace_file(mark, digest.encode("ascii"))


def _write(place: Path, digest: str, cell: Mapping[str, Any]) -> None:
    with output_errors(place):
        place.mkdir(parents=True, exist_ok=True)
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    replace_file(place / "figures.json", orjson.dumps({"digest": digest, "rows": cell}, option=options))


def on_folds_of(slides: PatchManifest, patches: PatchManifest) -> PatchManifest:
    """Return patches in the part of the fold that their case has among the slides; -1 for cases without a slide.

    Parameters
    ----------
    slides
        One row a slide, split for a fold.
    patches
        Patches of the same project.

    Returns
    -------
    PatchManifest
        The patches, split.
    """
    group, names = case_groups(slides)
    part = {names[case]: int(code) for case, code in zip(group.tolist(), slides.split.tolist(), strict=True)}
    own, own_names = case_groups(patches)
    split = np.array([part.get(own_names[case], -1) for case in own.tolist()], np.int64)
    how = slides.settings["split"]
    return with_split(
        patches, split, how["kind"], how["shares"], how["seed"], how["stratify"], how["warning"]
    )


def comparison_table(
    rows: Sequence[ComparedRow], task: str, reported: Mapping[str, tuple[float, float, float]]
) -> Table:
    """Return the comparison as a text table.

    Parameters
    ----------
    rows
        From `compare`.
    task
        Name of the task, for the title.
    reported
        {row: AUC, F1, accuracy of the paper, per cent}.

    Returns
    -------
    Table
        Mean and SD over the folds, F1 of each class, and the paper's figures on its own slides.
    """
    classes = list(dict.fromkeys(figure for row in rows for figure in row.folds if figure.startswith("F1 ")))
    lines = []
    for row in rows:
        shown = [_mean_sd_text(row, figure) for figure in (*_SHOWN, *classes)]
        paper = " / ".join(f"{value:g}" for value in reported[row.name]) if row.name in reported else NO_VALUE
        lines.append((row.name, row.kind, str(row.n_slides), *shown, paper))
    header = ("network", "approach", "slides", *_SHOWN.values(), *classes, "paper: AUC / F1 / accuracy, %")
    k = max((len(values) for row in rows for values in row.folds.values()), default=0)
    notes = (
        "mean ± SD over the folds; the SD is over folds that share training cases: it is no standard error",
        "the paper's figures are of its own slides, which nobody here has seen; research use only",
    )
    return Table(f"{task}, {k} folds by case", header, tuple(lines), notes)


def _mean_sd_text(row: ComparedRow, figure: str) -> str:
    mean, sd = row.mean_sd(figure)
    if not math.isfinite(mean):
        return NO_VALUE
    return f"{mean:.3f}" + (f" ± {sd:.3f}" if math.isfinite(sd) else "")


def write_comparison(out: Path, table: Table, rows: Sequence[ComparedRow]) -> None:
    """Write ``comparison.csv``, and ``comparison.json`` with the figures of each fold; raises OutputError.

    Parameters
    ----------
    out
        Folder; created where missing.
    table, rows
        From `comparison_table` and `compare`.
    """
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    lines: list[Sequence[str]] = [[table.title], table.header, *table.rows, *([note] for note in table.notes)]
    replace_file(out / "comparison.csv", csv_bytes(lines))
    content = [
        {"name": row.name, "kind": row.kind, "slides": row.n_slides, "folds": dict(row.folds)} for row in rows
    ]
    replace_file(
        out / "comparison.json", orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
