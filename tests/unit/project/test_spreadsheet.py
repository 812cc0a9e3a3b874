"""Cells and files that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.project import spreadsheet
from qupath_her2.project.spreadsheet import csv_bytes, spreadsheet_text


@given(st.text(max_size=40))
def test_no_text_becomes_a_formula_or_breaks_the_line(text: str) -> None:
    safe = spreadsheet_text(text)
    # Any list separator may begin a cell, whatever the quotes.
    cells = [cell.strip() for cell in safe.split(";")]
    assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for cell in cells)
    assert all(re.fullmatch(r"-[0-9.eE+-]+", cell) for cell in cells if cell.startswith("-"))
    assert len(safe.splitlines()) <= 1
    assert spreadsheet_text("0") == "0"
    assert [spreadsheet_text(score) for score in ("1+", "2+", "3+")] == ["1+", "2+", "3+"]


@given(st.from_regex(spreadsheet._PLAIN, fullmatch=True))
def test_plain_cells_are_what_escaping_would_leave_alone(text: str) -> None:
    assert spreadsheet._escaped(text) == text == spreadsheet_text(text)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("-0.125", "-0.125"),
        ("-3", "-3"),
        ("-1.5e-07", "-1.5e-07"),
        ("-2+3", "'-2+3"),
        ("- 2", "'- 2"),
        ("+1", "'+1"),
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("\t=1", "'=1"),
        (" \u00a0@SUM(A1)", "'@SUM(A1)"),
        ("a;=1+1", "a;'=1+1"),
        ("a; @x;-1", "a;' @x;'-1"),
        ("\x00=1", r"\x00=1"),
        ("a\u202eb", r"a\u202eb"),
        ("K\udce4se", r"K\udce4se"),
        ("1+", "1+"),
    ],
)
def test_cells(text: str, cell: str) -> None:
    assert spreadsheet_text(text) == cell


def test_a_file_has_a_mark_for_excel_and_reads_back() -> None:
    data = csv_bytes([("a", "b"), (), ("é, ü", None), ('say "x"', "=1+1")])
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.endswith(b"\r\n")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows == [["a", "b"], [], ["é, ü", ""], ['say "x"', "'=1+1"]]
