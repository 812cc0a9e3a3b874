"""Tables for people's spreadsheets: CSV that opens without questions and runs nothing."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["csv_bytes", "spreadsheet_text"]

#: A spreadsheet runs a text cell that starts with one of these as a formula (OWASP "CSV injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def spreadsheet_text(text: str | None) -> str:
    """Return `text` on one line, such that no spreadsheet runs it as a formula.

    A dangerous first character gets an apostrophe before it, which spreadsheets take as "this is text".
    A score such as ``1+`` starts with a digit and stays as it is.
    """
    line = " ".join((text or "").split())
    # The first character of the raw text counts too: a leading tab vanishes from the joined line.
    is_formula = line.startswith(_FORMULA_STARTS) or (text or "").startswith(_FORMULA_STARTS)
    return f"'{line}" if is_formula else line


def csv_bytes(rows: Iterable[Sequence[str | None]]) -> bytes:
    """Return rows of text as CSV, every cell as `spreadsheet_text` has it.

    UTF-8 with a byte order mark, without which Excel reads ``é`` as ``Ã©``; lines end in CR LF (RFC 4180).
    """
    text = io.StringIO(newline="")
    csv.writer(text).writerows([spreadsheet_text(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")
