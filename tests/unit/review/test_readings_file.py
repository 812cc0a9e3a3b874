"""Files of readings as people and spreadsheets write them; wrong lines are named, all at once."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from qupath_her2.errors import ReviewError
from qupath_her2.review.readings_file import read_readings

ALL = ("case", "reader", "value")


def file(folder: Path, text: str) -> Path:
    path = folder / "readings.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_have_other_names_and_semicolons(tmp_path):
    path = file(
        tmp_path, "Case ID;Observer;Score;Session;Time s;ISH\nc1;Anna;2+;A;12,5;amplified\nc2;Bo;0;;;\n\n"
    )
    first, second = read_readings(path, ALL)
    assert (first.case, first.reader, first.value, first.round) == ("c1", "Anna", "2+", "A")
    assert (first.seconds, first.ish, first.line) == (12.5, True, 2)
    assert (second.round, second.ish) == ("", None)
    assert math.isnan(second.seconds)


def test_a_slide_stands_for_its_case(tmp_path):
    (one,) = read_readings(file(tmp_path, "image,reader,value\na.svs,A,1+\n"), ALL)
    assert (one.case, one.slide) == ("a.svs", "a.svs")


def test_links_are_files_beside_the_csv_or_addresses(tmp_path):
    path = file(tmp_path, "case,reader,value,link\nc1,A,0,pictures/c1.png\nc2,A,0,https://x.org/c2\n")
    first, second = read_readings(path, ALL)
    assert first.link == str(tmp_path / "pictures" / "c1.png")
    assert second.link == "https://x.org/c2"


def test_every_wrong_line_is_listed(tmp_path):
    path = file(
        tmp_path,
        "case,reader,value,seconds,ish,link\n,A,0,,,\nc1,,0,,,\nc2,A,0,-3,,\nc3,A,0,,maybe,\nc4,A,0,,,javascript:x\n"
        "c5,A,2,5,1,,,\nc6,A,0,,,,more\n",
    )
    with pytest.raises(ReviewError) as error:
        read_readings(path, ALL)
    text = str(error.value)
    for part in (
        "line 2: no case",
        "line 3: no reader",
        "line 4: seconds are '-3'",
        "line 5: ish is 'maybe'",
        "line 6: link is 'javascript:x'",
        "line 8: 7 cells under 6 columns",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("case,reader,value\n", "no readings below"),
        ("case,value\nc,0\n", "there is no column 'reader'"),
        ("case,reader,score,share\nc,A,0,0\n", "are both the value"),
        ('case,reader,value\n"c,A,0\n', "is not CSV"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_columns(tmp_path, text, words):
    with pytest.raises(ReviewError, match=words):
        read_readings(file(tmp_path, text), ALL)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ReviewError, match=r"no\.csv' cannot be read"):
        read_readings(tmp_path / "no.csv", ALL)
