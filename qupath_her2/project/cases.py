"""``cases.csv``: what is known of each image beside its pixels.

Columns (any order, any case): ``image`` (file name, with or without extension), ``case``, ``site`` (breast or
gastric), ``specimen`` (biopsy or resection; ``gastric biopsy`` is taken too), ``stain``, ``ish_ratio``
(HER2/CEP17), ``her2_copies`` (mean per cell), ``control`` (yes or no). Others are left alone. Excel's
semicolons, decimal commas, tabs, ``sep=`` line and byte order mark are accepted.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from qupath_her2.errors import CasesFileError
from qupath_her2.records import CaseInfo

__all__ = [
    "case_from_metadata",
    "case_of",
    "column_of_cases",
    "column_of_metadata",
    "of_image",
    "read_cases",
    "unmatched_cases",
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

V = TypeVar("V")


def read_cases(path: Path) -> dict[str, CaseInfo]:
    """Return what is known of each image, by image name (NFC) as written in the file.

    Raises
    ------
    CasesFileError
        The file cannot be read, has no ``image`` column, or has bad rows; all of them are listed.
    """
    rows = _rows(path)
    if not rows:
        raise CasesFileError(
            f"'{path}' is empty. Its first line must name the columns: {', '.join(_COLUMNS)}."
        )
    header = _header(rows[0][1], path)
    cases: dict[str, CaseInfo] = {}
    problems: list[str] = []
    for line, row in rows[1:]:
        if not any(cell.strip() for cell in row):
            continue
        values = {name: row[i].strip() if i < len(row) else "" for name, i in header.items()}
        image = unicodedata.normalize("NFC", values.get("image", ""))
        faults: list[str] = []
        info = _case(values, faults)
        if not image:
            faults.append("no image name")
        elif image in cases:
            faults.append(f"image {image!r} occurs twice")
        problems.extend(f"line {line}: {fault}" for fault in faults)
        if not faults:
            cases[image] = info
    if problems:
        listed = "\n  ".join(problems[:50]) + (
            f"\n  … {len(problems) - 50} more" if len(problems) > 50 else ""
        )
        raise CasesFileError(
            f"'{path}' has {len(problems)} bad entries; correct them and run again:\n  {listed}"
        )
    return cases


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return (line number, cells) of each row."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CasesFileError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise CasesFileError(
            f"'{path}' is not UTF-8. In Excel, save it as 'CSV UTF-8 (comma delimited)'."
        ) from error
    lines = text.splitlines(keepends=True)
    skipped = 0
    delimiter = None
    if lines and (stated := re.fullmatch(r"sep=(.)\s*", lines[0], re.IGNORECASE)):
        delimiter, skipped = stated.group(1), 1
    body = "".join(lines[skipped:])
    first = next((line for line in lines[skipped:] if line.strip()), "")
    delimiter = delimiter or max(";\t,", key=first.count)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter)
    try:
        return [(reader.line_num + skipped, row) for row in reader if row]
    except csv.Error as error:
        raise CasesFileError(f"'{path}' line {reader.line_num + skipped} is not CSV: {error}.") from error


def _header(cells: list[str], path: Path) -> dict[str, int]:
    """Return {column: place}; a near miss of a known name is an error: its values would be lost unseen."""
    header: dict[str, int] = {}
    problems = []
    for place, cell in enumerate(cells):
        name = _plain_name(cell)
        name = _ALIASES.get(name, name)
        if name in header:
            problems.append(f"column {cell.strip()!r} occurs twice")
        elif name in _COLUMNS:
            header[name] = place
        elif near := difflib.get_close_matches(name, _COLUMNS, n=1, cutoff=0.8):
            problems.append(f"unknown column {cell.strip()!r}; did you mean {near[0]!r}?")
    if "image" not in header:
        problems.append("no column 'image'")
    if problems:
        raise CasesFileError(f"'{path}': {'; '.join(problems)}. Columns: {', '.join(_COLUMNS)}.")
    return header


def _case(values: dict[str, str], faults: list[str]) -> CaseInfo:
    words = f"{values.get('site', '')} {values.get('specimen', '')}".casefold().replace(",", " ").split()
    known: dict[str, Any] = {}
    for word in words:
        field, table = ("site", _SITES) if word in _SITES else ("specimen", _SPECIMENS)
        value = table.get(word)
        if value is None:
            faults.append(f"{word!r} is neither breast, gastric, biopsy nor resection")
        elif known.setdefault(field, value) != value:
            faults.append(f"{field} is both {known[field]} and {value}")
    control = _YES_NO.get(values.get("control", "").casefold())
    if control is None:
        faults.append(f"control is {values['control']!r}, not yes or no")
    return CaseInfo(
        case=values.get("case") or None,
        stain=values.get("stain") or "HER2",
        her2_cep17_ratio=_number(values, "ish_ratio", faults),
        her2_copies=_number(values, "her2_copies", faults),
        is_control=bool(control),
        **known,
    )


def _number(values: dict[str, str], name: str, faults: list[str]) -> float | None:
    text = values.get(name, "")
    if not text:
        return None
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = math.nan
    # More than 100 copies or a ratio over 100 is not seen in a nucleus; it is a slip of the point.
    if not 0 <= number <= 100:
        faults.append(f"{name} is {text!r}, not a number from 0 to 100")
        return None
    return number


def case_of(cases: dict[str, CaseInfo], name: str) -> CaseInfo | None:
    """Return the entry of an image by its name, with or without extension; None where there is none."""
    return of_image(cases, name)


def column_of_cases(path: Path, columns: Sequence[str]) -> tuple[str | None, dict[str, str]]:
    """Return a further column of ``cases.csv``: the first of `columns` that it has, and its value for each image.

    Parameters
    ----------
    path
        The file.
    columns
        Names to look for, in any case; space, ``_`` and ``-`` are alike.

    Returns
    -------
    column
        Which of `columns` was found; None where none is there.
    values
        {image name (NFC) as written: text}; empty cells are left out. Look up with `case_of`'s rule: `of_image`.

    Raises
    ------
    CasesFileError
        The file cannot be read.
    """
    rows = _rows(path)
    names = [_plain_name(cell) for cell in rows[0][1]] if rows else []
    places = {_ALIASES.get(name, name): place for place, name in reversed(list(enumerate(names)))}
    found = next((column for column in columns if _plain_name(column) in places), None)
    if found is None or "image" not in places:
        return None, {}
    place, image = places[_plain_name(found)], places["image"]
    values = {}
    for _, row in rows[1:]:
        if max(place, image) < len(row) and row[place].strip():
            values[unicodedata.normalize("NFC", row[image].strip())] = row[place].strip()
    return found, values


def column_of_metadata(metadata: Mapping[str, str], columns: Sequence[str]) -> str | None:
    """Return the value of the first of `columns` that an image's metadata have; names as for `column_of_cases`."""
    values = {_plain_name(key): value.strip() for key, value in metadata.items()}
    return next((values[name] for name in map(_plain_name, columns) if values.get(name)), None)


def of_image(values: Mapping[str, V], image: str) -> V | None:
    """Return the value of an image by its name, with or without extension; None where there is none."""
    return next((values[key] for key in _keys(image) if key in values), None)


def _plain_name(text: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", text.strip().casefold()).strip("_")


def case_from_metadata(metadata: Mapping[str, str], image: str) -> CaseInfo | None:
    """Return what the metadata of a QuPath project entry say under the names of ``cases.csv``'s columns.

    None where they say nothing; other keys are the user's own and left alone.

    Raises
    ------
    CasesFileError
        A value that cannot be used; the message names the image.
    """
    values = {}
    for key, value in metadata.items():
        name = _plain_name(key)
        name = _ALIASES.get(name, name)
        if name in _COLUMNS and name != "image" and value.strip():
            values[name] = value.strip()
    faults: list[str] = []
    info = _case(values, faults)
    if faults:
        raise CasesFileError(
            f"Metadata of image '{image}': {'; '.join(faults)}. Correct it in QuPath "
            "(right-click the image in the project list: Add metadata), then pull again."
        )
    return info if values else None


def unmatched_cases(cases: dict[str, CaseInfo], names: Iterable[str]) -> tuple[str, ...]:
    """Return the entries of ``cases.csv`` that belong to none of the images called `names`."""
    met = {key for name in names for key in _keys(name)}
    return tuple(key for key in cases if key not in met)


def _keys(name: str) -> tuple[str, str]:
    name = unicodedata.normalize("NFC", name)
    base: Callable[[str], str] = lambda text: re.sub(r"(\.ome)?\.[^.]*$", "", text, flags=re.IGNORECASE)  # noqa: E731
    return name, base(name)
