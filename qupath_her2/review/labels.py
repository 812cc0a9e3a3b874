"""Labels of cells: what people said about cells, corrected or confirmed, from rounds and from lists.

A round holds what somebody changed. Cells that somebody looked at and left are no difference, and without them nothing
says where the program is right; they come from lists, ``her2/review/labels/*.csv`` with the columns ``image``,
``uuid``, ``reader``, ``value`` (0, 1+, 2+, 3+, or x = not a tumour cell) and any others, such as ``x``, ``y`` and
``time``. A filled ``blind.csv`` is such a list, and the review window in QuPath appends a line for each key pressed;
of several lines of one reader about one cell the last counts.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qupath_her2.cells.corrections import class_code
from qupath_her2.errors import ReviewError
from qupath_her2.records import CELL_CLASSES
from qupath_her2.review.changes import Change

__all__ = [
    "NOT_TUMOUR",
    "CellLabel",
    "labels_folder",
    "list_labels",
    "merged_labels",
    "queue_labels",
    "round_labels",
]

#: Value of a cell that is no tumour cell.
NOT_TUMOUR = 255
_CODES = {"negative": 0, "0": 0, "1": 1, "1+": 1, "2": 2, "2+": 2, "3": 3, "3+": 3, "x": NOT_TUMOUR}
_COLUMNS = ("image", "uuid", "reader", "value")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class CellLabel:
    """What one person said about a cell.

    Attributes
    ----------
    image, uuid
        The cell; the UUID is "" for a cell known by its place alone.
    code
        0..3 as in `records.CELL_CLASSES`, or `NOT_TUMOUR`.
    reader
        Who said it.
    is_correction
        The program had said otherwise; False for a list, which also holds cells that were confirmed.
    x, y
        Centroid, level-0 pixels; "" where unknown.
    """

    image: str
    uuid: str
    code: int
    reader: str
    is_correction: bool
    x: str = ""
    y: str = ""


def labels_folder(her2: Path) -> Path:
    """Return the folder of lists of labels."""
    return her2 / "review" / "labels"


def round_labels(changes: Iterable[Change]) -> list[CellLabel]:
    """Return the corrections of cells among the changes that count, see `known_labels.known_changes`."""
    labels = []
    for one in changes:
        if one.kind != "cell" or one.aspect != "label":
            continue
        code = NOT_TUMOUR if one.change == "deleted" else class_code(one.after)
        # Another class than the four graded ones, such as Stroma, says that it is no tumour cell.
        code = NOT_TUMOUR if code is None else code
        labels.append(CellLabel(one.image, one.uuid, code, one.author, True, one.x, one.y))
    return labels


def list_labels(paths: Iterable[Path]) -> tuple[list[CellLabel], list[str]]:
    """Return the labels of lists, and a sentence for each file or line that cannot be read; the rest is used."""
    labels: list[CellLabel] = []
    problems: list[str] = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"list '{path}' cannot be read ({error}); the others are used")
            continue
        reader = csv.DictReader(io.StringIO(text, newline=""))
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            problems.append(f"list '{path}' has no column {', '.join(missing)}; the others are used")
            continue
        try:
            found = [_label(row, path.name, line, problems) for line, row in enumerate(reader, 2)]
        except csv.Error as error:
            problems.append(f"list '{path}' is no CSV ({error}); the others are used")
            continue
        labels += [one for one in found if one is not None]
    return labels, problems


def _label(row: dict[str, str | None], name: str, line: int, problems: list[str]) -> CellLabel | None:
    values = {key: (row.get(key) or "").strip() for key in (*_COLUMNS, "x", "y")}
    if not values["value"]:
        # A cell of the list that nobody has answered yet.
        return None
    code = _CODES.get(values["value"].casefold().removeprefix("tumor: "))
    if code is None or not values["uuid"] or not values["image"]:
        problems.append(
            f"{name}, line {line}: image {values['image']!r}, uuid {values['uuid']!r}, value {values['value']!r} is "
            "no label (0, 1+, 2+, 3+ or x); the others are used"
        )
        return None
    reader = values["reader"] or Path(name).stem
    if not all(_NUMBER.fullmatch(values[axis]) for axis in ("x", "y")):
        # The UUID alone is enough.
        values["x"] = values["y"] = ""
    return CellLabel(
        values["image"], values["uuid"].casefold(), code, reader, False, values["x"], values["y"]
    )


def queue_labels(her2: Path, reader: str, labelled: Iterable[CellLabel]) -> list[CellLabel]:
    """Return the cells of ``queue.csv`` that were left as they were, as confirmed by a reader who saw them all.

    Parameters
    ----------
    her2
        The exchange folder.
    reader
        Who went through the queue.
    labelled
        What is known of cells already; these are left out.

    Returns
    -------
    list[CellLabel]
        With the class that the queue shows.

    Raises
    ------
    ReviewError
        There is no queue, or it is damaged.
    """
    path = her2 / "review" / "queue" / "queue.csv"
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
        known = {(one.image, one.uuid) for one in labelled}
        return [
            CellLabel(
                row["image"], row["uuid"], CELL_CLASSES.index(row["class"]), reader, False, row["x"], row["y"]
            )
            for row in rows
            if (row["image"], row["uuid"]) not in known
        ]
    except OSError as error:
        raise ReviewError(f"There is no queue of cells, '{path}'. Choose its cells first.") from error
    except (KeyError, ValueError, UnicodeDecodeError, csv.Error) as error:
        raise ReviewError(f"'{path}' is damaged ({error}). Choose the cells of the queue again.") from error


def merged_labels(labels: Iterable[CellLabel]) -> tuple[list[CellLabel], int]:
    """Return one label for each cell, and the number of cells that people called differently, which are left out.

    Parameters
    ----------
    labels
        In the order of time for each reader: the last word of a reader counts.
    """
    by_cell: dict[tuple[str, str], dict[str, CellLabel]] = {}
    for one in labels:
        key = (one.image, one.uuid or f"{one.x} {one.y}")
        by_cell.setdefault(key, {})[one.reader] = one
    merged = [
        sorted(said.values(), key=lambda one: (one.is_correction, one.reader))[0]
        for said in by_cell.values()
        if len({one.code for one in said.values()}) == 1
    ]
    return merged, len(by_cell) - len(merged)
