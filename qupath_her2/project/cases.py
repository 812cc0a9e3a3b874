"""Case data: ``cases.csv`` and the metadata of QuPath project entries.

Columns (any order, any case): ``image`` (file name, with or without extension), ``case``, ``site`` (breast or
gastric), ``specimen`` (biopsy or resection; ``gastric biopsy`` is accepted too), ``stain``, ``ish_ratio``
(HER2/CEP17), ``her2_copies`` (mean per cell), ``control`` (yes or no). Other columns are ignored. Semicolons,
decimal commas, tabs, the ``sep=`` line and the byte order mark that Excel writes are accepted.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from qupath_her2.errors import CasesFileError
from qupath_her2.project.spreadsheet import read_rows
from qupath_her2.records import CaseInfo
from qupath_her2.setting_ranges import shown

__all__ = [
    "case_from_metadata",
    "case_of",
    "metadata_column",
    "read_case_column",
    "read_cases",
    "unmatched_cases",
    "value_of_image",
]

_COLUMNS = ("image", "case", "site", "specimen", "stain", "ish_ratio", "her2_copies", "control")
_ALIASES = {
    "image_name": "image",
    "file": "image",
    "filename": "image",
    "slide": "image",
    "case_id": "case",
    "ish_her2_cep17_ratio": "ish_ratio",
    "her2_cep17_ratio": "ish_ratio",
    "ratio": "ish_ratio",
    "ish_copies": "her2_copies",
    "her2_copy_number": "her2_copies",
    "is_control": "control",
}
_SITES = {"breast": "breast", "gastric": "gastric", "stomach": "gastric", "gej": "gastric"}
_SPECIMENS = {"biopsy": "biopsy", "core": "biopsy", "resection": "resection", "excision": "resection"}
_YES_NO = {"": False, "no": False, "n": False, "false": False, "0": False}
_YES_NO |= {"yes": True, "y": True, "true": True, "1": True, "x": True}

#: What Excel and LibreOffice write where a formula has no value.
_SPREADSHEET_ERRORS = frozenset(
    {"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "#NV", "#BEZUG!"}
)
_ROUNDED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(E[+-]?\d+)?", re.IGNORECASE | re.ASCII)

V = TypeVar("V")


def read_cases(path: Path) -> dict[str, CaseInfo]:
    """Return the case data of each image, keyed by image name as written in the file (NFC).

    Raises
    ------
    CasesFileError
        The file cannot be read, has no ``image`` column, or has invalid rows, which are all listed.
    """
    rows = read_rows(path)
    if not rows:
        raise CasesFileError(
            f"'{path}' is empty. Its first line must name the columns: {', '.join(_COLUMNS)}."
        )
    header = _header(rows[0][1], path)
    cases: dict[str, CaseInfo] = {}
    problems: list[str] = []
    for line, row in rows[1:]:
        # Excel saves the blank rows of a table as rows of delimiters.
        if not any(cell.strip() for cell in row):
            continue
        values = {name: row[i].strip() if i < len(row) else "" for name, i in header.items()}
        image = unicodedata.normalize("NFC", values.get("image", ""))
        row_problems = _row_problems(row, len(rows[0][1]), values)
        info = _parse_case(values, row_problems, "cases.csv")
        if not image:
            row_problems.append("no image name")
        elif image in cases:
            row_problems.append(f"image {shown(image)} occurs twice")
        problems.extend(f"line {line}: {problem}" for problem in row_problems)
        if not row_problems:
            cases[image] = info
    if problems:
        # A wrong delimiter or a shifted column makes every row invalid.
        listed = "\n  ".join(problems[:50]) + (
            f"\n  … {len(problems) - 50} more" if len(problems) > 50 else ""
        )
        raise CasesFileError(
            f"'{path}' has {len(problems)} bad entries. Correct them and run again:\n  {listed}"
        )
    return cases


def _row_problems(row: list[str], n_columns: int, values: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a row whatever its values mean: shifted cells, and texts that a program damaged."""
    problems = []
    spare = [cell for cell in row[n_columns:] if cell.strip()]
    if spare:
        # Without quotes, "2,1" in a file with commas is two cells, and the ratio would be read as 2.
        problems.append(
            f"{len(row)} cells under {n_columns} columns, the last {shown(spare[-1])}; put decimal commas in quotes"
        )
    for name in ("image", "case", "stain"):
        value = values.get(name, "")
        if any(unicodedata.category(one) == "Cc" for one in value):
            problems.append(
                f"{name} is {shown(value)}, with a line break or control character; close its quotes"
            )
        elif value in _SPREADSHEET_ERRORS:
            problems.append(f"{name} is {value!r}, an error of the spreadsheet; write the {name} itself")
        elif name == "case" and _ROUNDED.fullmatch(value):
            # Excel writes long numbers so, and many ids become one.
            problems.append(
                f"case is {value!r}, a rounded number; format the column as text and write the id again"
            )
    return problems


def _header(cells: list[str], path: Path) -> dict[str, int]:
    """Return {column: position}; a near miss of a known name is an error, as its values would be lost silently."""
    header: dict[str, int] = {}
    problems = []
    for position, cell in enumerate(cells):
        name = _plain_name(cell)
        name = _ALIASES.get(name, name)
        if name in header:
            problems.append(f"column {cell.strip()!r} occurs twice")
        elif name in _COLUMNS:
            header[name] = position
        # A cutoff of 0.8 catches transposed and missing letters, but not other words such as "staining".
        elif near := difflib.get_close_matches(name, _COLUMNS, n=1, cutoff=0.8):
            problems.append(f"unknown column {cell.strip()!r}; did you mean {near[0]!r}?")
    if "image" not in header:
        problems.append("there is no column 'image'")
    if problems:
        raise CasesFileError(f"'{path}': {'; '.join(problems)}. Columns: {', '.join(_COLUMNS)}.")
    return header


def _parse_case(values: dict[str, str], problems: list[str], origin: str) -> CaseInfo:
    """Return the case data of one row or entry from `origin`; what is wrong with it is appended to `problems`."""
    # Site and specimen share one vocabulary, so that "gastric biopsy" may stand in either column.
    words = f"{values.get('site', '')} {values.get('specimen', '')}".casefold().replace(",", " ").split()
    known: dict[str, Any] = {}
    for word in words:
        field, table = ("site", _SITES) if word in _SITES else ("specimen", _SPECIMENS)
        value = table.get(word)
        if value is None:
            problems.append(f"{shown(word)} is neither breast, gastric, biopsy nor resection")
        elif known.setdefault(field, value) != value:
            problems.append(f"{field} is both {known[field]} and {value}")
    control = _YES_NO.get(values.get("control", "").casefold())
    if control is None:
        problems.append(f"control is {shown(values['control'])}, not yes or no")
    return CaseInfo(
        case=values.get("case") or None,
        stain=values.get("stain") or "HER2",
        her2_cep17_ratio=_number(values, "ish_ratio", problems),
        her2_copies=_number(values, "her2_copies", problems),
        is_control=bool(control),
        guideline_origin=origin if "site" in known else "",
        **known,
    )


def _number(values: dict[str, str], name: str, problems: list[str]) -> float | None:
    text = values.get(name, "")
    if not text:
        return None
    # Spreadsheets in many languages write decimal commas.
    number = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan
    # No nucleus has a hundred HER2 copies or a ratio over 100: the decimal point was misplaced.
    if not 0 <= number <= 100:
        problems.append(
            f"{name} is {shown(text)}, not a number from 0 to 100; leave it empty if it was not measured"
        )
        return None
    return number


def case_of(cases: dict[str, CaseInfo], name: str) -> CaseInfo | None:
    """Return the case data of the image called `name`, matched with or without extension; None if not listed."""
    return value_of_image(cases, name)


def read_case_column(path: Path, columns: Sequence[str]) -> tuple[str | None, dict[str, str]]:
    """Return an additional column of ``cases.csv``: the first of `columns` that exists, with its value per image.

    Parameters
    ----------
    path
        The ``cases.csv``.
    columns
        Column names in order of preference; case is ignored, and space, ``_`` and ``-`` are equivalent.

    Returns
    -------
    column
        The one of `columns` that was found; None if there is none.
    values
        {image name as written (NFC): text}, without empty cells; look images up with `value_of_image`.

    Raises
    ------
    CasesFileError
        The file cannot be read.
    """
    rows = read_rows(path)
    names = [_plain_name(cell) for cell in rows[0][1]] if rows else []
    # Reversed, so that the first of two columns with the same name wins.
    positions = {_ALIASES.get(name, name): i for i, name in reversed(list(enumerate(names)))}
    found = next((column for column in columns if _plain_name(column) in positions), None)
    if found is None or "image" not in positions:
        return None, {}
    position, image = positions[_plain_name(found)], positions["image"]
    values = {}
    for _, row in rows[1:]:
        if max(position, image) < len(row) and row[position].strip():
            values[unicodedata.normalize("NFC", row[image].strip())] = row[position].strip()
    return found, values


def metadata_column(metadata: Mapping[str, str], columns: Sequence[str]) -> str | None:
    """Return the value of the first of `columns` in an image's metadata, matched as in `read_case_column`."""
    values = {_plain_name(key): value.strip() for key, value in metadata.items()}
    return next((values[name] for name in map(_plain_name, columns) if values.get(name)), None)


def value_of_image(values: Mapping[str, V], image: str) -> V | None:
    """Return the value of the image called `image`, matched with or without extension; None if there is none."""
    return next((values[key] for key in _keys(image) if key in values), None)


def _plain_name(text: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", text.strip().casefold()).strip("_")


def case_from_metadata(metadata: Mapping[str, str], image: str) -> CaseInfo | None:
    """Return the case data in the metadata of a QuPath project entry, under the column names of ``cases.csv``.

    None if the metadata hold none of them; other keys are ignored.

    Raises
    ------
    CasesFileError
        A value is invalid; the message names the image.
    """
    values = {}
    for key, value in metadata.items():
        name = _plain_name(key)
        name = _ALIASES.get(name, name)
        if name in _COLUMNS and name != "image" and value.strip():
            values[name] = value.strip()
    problems: list[str] = []
    info = _parse_case(values, problems, "image metadata")
    if problems:
        raise CasesFileError(
            f"Metadata of image '{image}': {'; '.join(problems)}. Correct them in QuPath "
            "(right-click the image in the project list: Add metadata), then pull again."
        )
    return info if values else None


def unmatched_cases(cases: dict[str, CaseInfo], names: Iterable[str]) -> tuple[str, ...]:
    """Return the image names in ``cases.csv`` that match none of the images called `names`."""
    known = {key for name in names for key in _keys(name)}
    return tuple(key for key in cases if key not in known)


def _keys(name: str) -> tuple[str, ...]:
    """Return the names under which an image may be listed: as it is, without its extension, a DICOM slide's folder."""
    # Names typed on a Mac may be decomposed; ".ome.tif" is one extension.
    name = unicodedata.normalize("NFC", name)
    base: Callable[[str], str] = lambda text: re.sub(r"(\.ome)?\.[^.]*$", "", text, flags=re.IGNORECASE)  # noqa: E731
    # The files of a DICOM slide are named by numbers; people know the slide by its folder.
    place, _, file = name.rpartition("/")
    is_dicom = file.casefold().endswith(".dcm") or not re.search(r"\.[^.]*[^.\d]", file)
    return name, base(name), *([place] if place and is_dicom else [])
