"""Cells and files that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.project.spreadsheet import csv_bytes, spreadsheet_text


@given(st.text(max_size=40))
def test_no_text_becomes_a_formula_or_breaks_the_line(text: str) -> None:
    safe = spreadsheet_text(text)
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert len(safe.splitlines()) <= 1
    assert spreadsheet_text("0") == "0"
    assert [spreadsheet_text(score) for score in ("1+", "2+", "3+")] == ["1+", "2+", "3+"]


def test_a_file_has_a_mark_for_excel_and_reads_back() -> None:
    data = csv_bytes([("a", "b"), (), ("é, ü", None), ('say "x"', "=1+1")])
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.endswith(b"\r\n")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows == [["a", "b"], [], ["é, ü", ""], ['say "x"', "'=1+1"]]
