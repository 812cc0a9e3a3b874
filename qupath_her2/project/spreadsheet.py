"""CSV for spreadsheets: opens in Excel without an import dialogue, and no cell runs as a formula."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from qupath_her2.project.visible_text import visible_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["csv_bytes", "spreadsheet_text"]

#: A spreadsheet runs a text cell that starts with one of these as a formula (OWASP "CSV injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: Where a list separator is a semicolon, Excel begins a cell after it, also within our quotes.
_INNER_FORMULA = re.compile(r";(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
_NEGATIVE = re.compile(r"-\d+(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def spreadsheet_text(text: str | None) -> str:
    """Return `text` on one line, escaped so that no spreadsheet runs it as a formula.

    A cell that starts with a formula character gets a leading apostrophe, which spreadsheets read as "text".
    So does what follows a semicolon. A score such as ``1+`` starts with a digit and is left unchanged, and a negative
    number is left a number. Hidden characters are shown (`visible_text`).
    """
    line = _INNER_FORMULA.sub(";'", " ".join(visible_text(text or "").split()))
    if _NEGATIVE.fullmatch(line):
        return line
    # The raw text is checked too: joining the words drops a leading tab, but the cell was still dangerous.
    is_formula = line.startswith(_FORMULA_STARTS) or (text or "").startswith(_FORMULA_STARTS)
    return f"'{line}" if is_formula else line


def csv_bytes(rows: Iterable[Sequence[str | None]]) -> bytes:
    """Return rows of text as CSV, each cell escaped by `spreadsheet_text`; None is an empty cell.

    UTF-8 with a byte order mark, without which Excel reads ``é`` as ``Ã©``; lines end in CR LF (RFC 4180).
    """
    text = io.StringIO(newline="")
    csv.writer(text).writerows([spreadsheet_text(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")
