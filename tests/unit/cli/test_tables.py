"""Tables on a terminal: every cell whole, whatever the width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.cli.tables import say_table, table_lines

HEADER = ("Image", "Score", "Cells", "Share %")
ROWS = (("a.svs", "3+", "1,234", "98.7"), ("case 0815.svs", "not assessable", "7", "0.1"))


def test_a_table_that_fits_has_one_line_a_row() -> None:
    assert table_lines(HEADER, ROWS, width=60, left=(1,)) == [
        "Image          Score           Cells  Share %",
        "a.svs          3+              1,234     98.7",
        "case 0815.svs  not assessable      7      0.1",
    ]


def test_columns_that_do_not_fit_follow_with_the_names_repeated() -> None:
    assert table_lines(HEADER, ROWS, width=36, left=(1,)) == [
        "Image          Score           Cells",
        "a.svs          3+              1,234",
        "case 0815.svs  not assessable      7",
        "",
        "Image          Share %",
        "a.svs             98.7",
        "case 0815.svs      0.1",
    ]


def test_long_names_have_a_line_of_their_own() -> None:
    rows = (("a very long name of a slide.svs", *ROWS[0][1:]),)
    assert table_lines(HEADER, rows, width=40, left=(1,)) == [
        "Image",
        "  Score  Cells  Share %",
        "a very long name of a slide.svs",
        "  3+     1,234     98.7",
    ]


def test_details_are_wrapped_between_words_only() -> None:
    doi = "doi 10.1007/978-3-319-24574-4_28 and a sentence"
    lines = table_lines(("Name", "N"), (("unet", "1"),), width=30, details=((doi, "second"),))
    assert lines == [
        "Name  N",
        "unet  1",
        "  doi",
        "    10.1007/978-3-319-24574-4_28",
        "    and a sentence",
        "  second",
    ]


def test_wide_characters_take_two_columns() -> None:
    lines = table_lines(("Image", "N"), (("病理", "1"), ("ab", "2")), width=40)
    assert lines == ["Image  N", "病理   1", "ab     2"]


WORDS = st.text("abc ", min_size=1, max_size=25).map(str.strip).filter(bool)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=5), st.integers(20, 90))
def test_no_cell_is_ever_cut(rows: list[tuple[str, ...]], width: int) -> None:
    header = ("name", "one", "two", "three")
    lines = table_lines(header, rows, width=width)
    text = "\n".join(lines)
    assert all(cell in text for row in (header, *rows) for cell in row)
    # A line is longer only where a single cell, with its indent, is longer than the terminal.
    longest = max(len(cell) for row in (header, *rows) for cell in row)
    assert max(map(len, lines)) <= max(width, longest + 2)


def test_notes_stand_below_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    say_table("Title", ("a", "b"), (("x", "1"),), notes=("a sentence longer than thirty columns",))
    assert capsys.readouterr().out.splitlines() == [
        "Title",
        "a  b",
        "x  1",
        "* a sentence longer than",
        "  thirty columns",
    ]
