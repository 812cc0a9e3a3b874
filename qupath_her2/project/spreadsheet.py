"""CSV from and for spreadsheets: read as programs write it, written so that no cell runs as a formula."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from qupath_her2.errors import CasesFileError
from qupath_her2.project.visible_text import visible_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from qupath_her2.errors import Her2Error

__all__ = ["csv_bytes", "read_rows", "spreadsheet_text"]

#: A spreadsheet runs a text cell that starts with one of these as a formula (OWASP "CSV injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: Where a list separator is a semicolon, Excel begins a cell after it, also within our quotes.
_INNER_FORMULA = re.compile(r";(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
#: Most cells: a letter or digit, then characters that no spreadsheet runs and nobody has to see escaped.
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.,:/%()+_-]| (?=[^ ]))*")
_NEGATIVE = re.compile(r"-\d+(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def spreadsheet_text(text: str | None) -> str:
    """Return `text` on one line, escaped so that no spreadsheet runs it as a formula.

    A cell that starts with a formula character gets a leading apostrophe, which spreadsheets read as "text".
    So does what follows a semicolon. A score such as ``1+`` starts with a digit and is left unchanged, and a negative
    number is left a number. Hidden characters are shown (`visible_text`).
    """
    # A table of ten thousand images has a million cells.
    return (text or "") if not text or _PLAIN.fullmatch(text) else _escaped(text)


def _escaped(text: str) -> str:
    line = _INNER_FORMULA.sub(";'", " ".join(visible_text(text).split()))
    if _NEGATIVE.fullmatch(line):
        return line
    # The raw text is checked too: joining the words drops a leading tab, but the cell was still dangerous.
    is_formula = line.startswith(_FORMULA_STARTS) or text.startswith(_FORMULA_STARTS)
    return f"'{line}" if is_formula else line


def csv_bytes(rows: Iterable[Sequence[str | None]]) -> bytes:
    """Return rows of text as CSV, each cell escaped by `spreadsheet_text`; None is an empty cell.

    UTF-8 with a byte order mark, without which Excel reads ``é`` as ``Ã©``; lines end in CR LF (RFC 4180).
    """
    text = io.StringIO(newline="")
    # Classes, names and counts recur: a look into a dictionary is cheaper than two of the expressions.
    known: dict[str | None, str] = {}

    def escaped(cell: str | None) -> str:
        found = known.get(cell)
        if found is None:
            found = known[cell] = spreadsheet_text(cell)
        return found

    csv.writer(text).writerows([escaped(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def read_rows(path: Path, kind: type[Her2Error] = CasesFileError) -> list[tuple[int, list[str]]]:
    """Return (line number, cells) of each row, whatever encoding and delimiter the spreadsheet program used.

    Parameters
    ----------
    path
        A CSV file.
    kind
        Error to raise.

    Returns
    -------
    list[tuple[int, list[str]]]
        Rows without the empty ones.

    Raises
    ------
    Her2Error
        Of `kind`: the file cannot be read or is not CSV.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise kind(f"'{path}' cannot be read: {error.strerror or error}.") from error
    # "Unicode text" from Excel is tab-separated UTF-16 with a byte order mark.
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise kind(f"'{path}' is not UTF-8. In Excel, save it as 'CSV UTF-8 (comma delimited)'.") from error
    if "\0" in text:
        raise kind(
            f"'{path}' is not text, or UTF-16 without a byte order mark. In Excel, save it as 'CSV UTF-8 (comma "
            "delimited)'."
        )
    lines = text.splitlines(keepends=True)
    skipped = 0
    delimiter = None
    if lines and (stated := re.fullmatch(r"sep=(.)\s*", lines[0], re.IGNORECASE)):
        delimiter, skipped = stated.group(1), 1
    body = "".join(lines[skipped:])
    first = next((line for line in lines[skipped:] if line.strip()), "")
    # csv.Sniffer guesses from the values and is fooled by decimal commas; the header line decides here.
    delimiter = delimiter or max(";\t,", key=first.count)
    if delimiter in '"\r':
        raise kind(f"'{path}' names {delimiter!r} as its separator. Write sep=; or leave the line out.")
    # Strict, as a quote that is not closed would make one cell of the rest of the file.
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num + skipped, row) for row in reader if row]
    except csv.Error as error:
        raise kind(
            f"'{path}' line {reader.line_num + skipped} is not CSV: {error}. Check its quotes: each that opens must "
            "close, at the end of the cell."
        ) from error
