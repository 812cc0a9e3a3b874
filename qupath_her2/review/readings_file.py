"""Readings from CSV files: a line per slide, reader and round.

Columns, in any order and case: ``case``; ``reader``; ``value`` (also ``score``, ``share``, ``reading``): a HER2 score
or a number; optional ``round``; ``slide`` (also ``image``) where a case has several; ``seconds``, time of the reading;
``ish`` (positive or negative); ``link``, a file beside the CSV or a web address, to which cells of confusion matrices
lead. Other columns are ignored. Semicolons, decimal commas and tabs are accepted.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qupath_her2.errors import ReviewError
from qupath_her2.project.spreadsheet import read_rows
from qupath_her2.setting_ranges import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Reading", "read_number", "read_readings", "say_problems"]

_ALIASES = {
    "image": "slide",
    "image_name": "slide",
    "score": "value",
    "share": "value",
    "reading": "value",
    "time_s": "seconds",
    "observer": "reader",
    "rater": "reader",
    "pathologist": "reader",
    "session": "round",
    "case_id": "case",
    "url": "link",
}
_COLUMNS = ("case", "slide", "reader", "round", "value", "seconds", "ish", "link")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)", re.ASCII)
_ISH = dict.fromkeys(("positive", "pos", "amplified", "yes", "+", "1"), True)
_ISH |= dict.fromkeys(("negative", "neg", "not amplified", "no", "-", "0"), False)
#: Longest time of one reading that is no slip, s: a day.
_MOST_SECONDS = 86_400
#: Problems listed in one message.
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Reading:
    """One line of a file of readings.

    Attributes
    ----------
    line
        Line in the file, from 1.
    case, slide, reader, round
        Names, NFC; "" where the column is missing or empty.
    value
        Text of the value.
    seconds
        Time of the reading, s; NaN where not recorded.
    ish
        ISH result, True for amplified; None where unknown.
    link
        Web address, or absolute path of a file; "" without one.
    """

    line: int
    case: str
    slide: str
    reader: str
    round: str
    value: str
    seconds: float
    ish: bool | None
    link: str


def read_readings(path: Path, needed: Sequence[str]) -> list[Reading]:
    """Return the readings of a CSV file.

    Parameters
    ----------
    path
        The file.
    needed
        Columns that it must have, of ``case``, ``reader``, ``value``; ``slide`` stands for ``case`` too.

    Returns
    -------
    list[Reading]
        In the order of the file.

    Raises
    ------
    ReviewError
        The file cannot be read, lacks a column, or has wrong lines, which are all listed.
    """
    rows = read_rows(path, ReviewError)
    if not rows:
        raise ReviewError(f"'{path}' is empty. Its first line must name the columns: {', '.join(_COLUMNS)}.")
    header = _header(path, rows[0][1], needed)
    readings, problems = [], []
    for line, row in rows[1:]:
        if not any(cell.strip() for cell in row):
            continue
        cells = {name: row[at].strip() if at < len(row) else "" for name, at in header.items()}
        wrong: list[str] = []
        reading = _reading(path, line, cells, wrong)
        if len(row) > len(rows[0][1]) and any(cell.strip() for cell in row[len(rows[0][1]) :]):
            # Without quotes, "2,5" in a file with commas is two cells.
            wrong.append(f"{len(row)} cells under {len(rows[0][1])} columns; put decimal commas in quotes")
        for name in needed:
            if name != "value" and not getattr(reading, name):
                wrong.append(f"no {name}")
        problems += [f"line {line}: {one}" for one in wrong]
        readings.append(reading)
    say_problems(path, problems)
    if not readings:
        raise ReviewError(f"'{path}' has no readings below its first line.")
    return readings


def say_problems(path: Path, problems: Sequence[str]) -> None:
    """Raise a ReviewError that lists the problems of a file, if there are any."""
    if problems:
        rest = len(problems) - _MOST_PROBLEMS
        listed = "\n  ".join([*problems[:_MOST_PROBLEMS], *([f"… {rest} more"] if rest > 0 else [])])
        lines = "one wrong entry" if len(problems) == 1 else f"{len(problems)} wrong entries"
        raise ReviewError(f"'{path}' has {lines}. Correct and run again:\n  {listed}")


def read_number(text: str) -> float:
    """Return a number written with a decimal point or comma; NaN for any other text."""
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan


def _header(path: Path, cells: Sequence[str], needed: Sequence[str]) -> dict[str, int]:
    header: dict[str, int] = {}
    problems = []
    for at, cell in enumerate(cells):
        name = re.sub(r"[^0-9a-z]+", "_", cell.strip().casefold()).strip("_")
        name = _ALIASES.get(name, name)
        if name in _COLUMNS and name in header:
            problems.append(f"columns {cells[header[name]]!r} and {cell!r} are both the {name}; rename one")
        header.setdefault(name, at)
    if "case" not in header and "slide" in header:
        # Slides of unknown cases count as a case each.
        header["case"] = header["slide"]
    problems += [f"there is no column {name!r}" for name in needed if name not in header]
    if problems:
        raise ReviewError(
            f"'{path}': {'; '.join(problems)}. Columns: {', '.join(_COLUMNS)}; the file has "
            f"{', '.join(map(repr, cells))}."
        )
    return {name: at for name, at in header.items() if name in _COLUMNS}


def _reading(path: Path, line: int, cells: Mapping[str, str], wrong: list[str]) -> Reading:
    """Return one line as a reading; what is wrong with it is appended to `wrong`."""
    names = {
        key: unicodedata.normalize("NFC", cells.get(key, "")) for key in ("case", "slide", "reader", "round")
    }
    seconds = math.nan
    if text := cells.get("seconds", ""):
        seconds = read_number(text)
        if not 0 <= seconds <= _MOST_SECONDS:
            wrong.append(f"seconds are {shown(text)}; they must be 0 to {_MOST_SECONDS:,}")
    ish = None
    if text := cells.get("ish", "").casefold():
        ish = _ISH.get(text)
        if ish is None:
            wrong.append(f"ish is {shown(text)}; write positive or negative, or leave it empty")
    link = _link(path, cells.get("link", ""), wrong)
    return Reading(line, value=cells.get("value", ""), seconds=seconds, ish=ish, link=link, **names)


def _link(path: Path, text: str, wrong: list[str]) -> str:
    if not text:
        return ""
    # One letter before a colon is a drive of Windows.
    scheme = urlsplit(text).scheme
    if scheme in ("http", "https"):
        return text
    if len(scheme) > 1:
        # A page that a colleague opens must not run what stands in a spreadsheet.
        wrong.append(f"link is {shown(text)}; write a file or an address that starts with https://")
        return ""
    return str((path.parent / text).resolve())
