"""Readings of several files as one study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import ReviewError
from qupath_her2.review.readings import StudySettings, load_readings


def file(folder: Path, text: str, name: str = "readings.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_slides_readers_and_rounds_are_lined_up(tmp_path):
    one = file(tmp_path, "case,reader,round,value\nc1,A,1,0\nc2,A,1,3+\nc2,A,2,2\n", "a.csv")
    two = file(tmp_path, "case,reader,round,value\nc2,B,1,not assessable\nc3,B,1,1+\n", "b.csv")
    readings = load_readings([one, two], StudySettings(), None)
    assert (readings.slides, readings.readers, readings.rounds) == (
        ("c1", "c2", "c3"),
        ("A", "B"),
        ("1", "2"),
    )
    assert readings.scale is not None
    assert readings.scale.codes[0].tolist() == [[0, -1], [3, -1], [-1, 1]]
    # Spreadsheets drop the plus sign.
    assert readings.scale.codes[1].tolist() == [[-1, -1], [2, -1], [-1, -1]]
    assert readings.not_assessable == 1
    assert readings.machine is None


def test_numbers_become_classes_by_cut_points(tmp_path):
    path = file(tmp_path, 'case,reader,value\nc1,A,0.5\nc2,A,1\nc3,A,"9,9"\nc4,A,10\n')
    plain = load_readings([path], StudySettings(), None)
    assert plain.scale is None
    assert plain.numbers.ravel().tolist() == [0.5, 1, 9.9, 10]
    scale = load_readings([path], StudySettings(cuts=(1, 5, 10)), None).scale
    assert scale is not None
    assert scale.classes == ("<1", "1 to <5", "5 to <10", "≥10")
    assert scale.codes.ravel().tolist() == [0, 1, 2, 3]


def test_shares_that_look_like_scores_are_numbers_with_cut_points(tmp_path):
    path = file(tmp_path, "case,reader,value\nc1,A,0\nc2,A,3\n")
    scale = load_readings([path], StudySettings(cuts=(1,)), None).scale
    assert scale is not None
    assert scale.codes.ravel().tolist() == [0, 1]


def test_classes_of_another_scale(tmp_path):
    path = file(tmp_path, "case,reader,value\nc1,A,Null\nc2,A,ultralow\nc3,A,1+\n")
    settings = StudySettings(classes=("null", "ultralow", "1+", "2+", "3+"))
    scale = load_readings([path], settings, None).scale
    assert scale is not None
    assert scale.codes.ravel().tolist() == [0, 1, 2]
    with pytest.raises(ReviewError, match=r"line 2: 'Null' is none of 0, 1\+, 2\+, 3\+"):
        load_readings([path], StudySettings(), None)


def test_the_machine_of_a_summary_stands_beside_every_round(tmp_path):
    path = file(tmp_path, "slide,case,reader,round,value\na,c1,A,1,0\na,c1,A,2,1+\nb,c2,A,1,3+\n")
    machine = file(
        tmp_path,
        "image,case,status,score\na.svs,c1,scored,1+\nb.svs,c2,scored,2+\nz.svs,c9,scored,0\n",
        "m.csv",
    )
    readings = load_readings([path], StudySettings(machine="m.csv"), machine)
    assert readings.readers == ("A", "machine")
    assert readings.machine == 1
    assert readings.scale is not None
    assert readings.scale.codes[:, :, 1].tolist() == [[1, 2], [1, 2]]
    # A slide that nobody read is no slide of the study.
    assert readings.slides == ("a", "b")
    assert readings.cases == ("c1", "c2")


def test_the_machine_is_matched_by_case_where_readings_name_cases(tmp_path):
    path = file(tmp_path, "case,reader,value\nc1,A,0\n")
    machine = file(tmp_path, "image,case,score\na.svs,c1,2+\n", "m.csv")
    scale = load_readings([path], StudySettings(machine="m.csv"), machine).scale
    assert scale is not None
    assert scale.codes.ravel().tolist() == [0, 2]


def test_a_reader_can_be_the_machine(tmp_path):
    path = file(tmp_path, "case,reader,value,ish\nc1,A,2+,pos\nc1,net,3+,\n")
    readings = load_readings([path], StudySettings(machine="net"), None)
    assert readings.machine == 1
    assert readings.people == (0,)
    assert readings.ish == (True,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("case,reader,value\nc1,A,0\nc1,A,1+\n", r"line 3: A read c1 twice in round 1, first in line 2"),
        ("case,reader,value,ish\nc1,A,2+,pos\nc1,B,2+,neg\n", "ISH result of c1 is both"),
        ("case,reader,value\nc1,A,4+\nc2,A,\n", r"line 2: '4\+' is none of 0, 1\+, 2\+, 3\+"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, text, words):
    with pytest.raises(ReviewError, match=words):
        load_readings([file(tmp_path, text)], StudySettings(), None)


def test_a_text_among_numbers_is_named(tmp_path):
    path = file(tmp_path, "case,reader,value\nc1,A,12\nc2,A,many\n")
    with pytest.raises(ReviewError, match="line 3: 'many' is not a number"):
        load_readings([path], StudySettings(cuts=(5,)), None)


def test_a_machine_that_is_not_there_is_refused(tmp_path):
    path = file(tmp_path, "case,reader,value\nc1,A,0\n")
    with pytest.raises(ReviewError, match=r"'net' is neither a file nor a reader .* Readers: A"):
        load_readings([path], StudySettings(machine="net"), None)
    other = file(tmp_path, "case,score\nx1,2+\n", "m.csv")
    with pytest.raises(ReviewError, match="none of the slides that were read: it has x1"):
        load_readings([path], StudySettings(machine="m.csv"), other)
    twice = file(tmp_path, "case,score\nc1,2+\nc1,3+\n", "m.csv")
    with pytest.raises(ReviewError, match="line 3: a second value of 'c1'"):
        load_readings([path], StudySettings(machine="m.csv"), twice)


def test_seconds_and_links_are_kept(tmp_path):
    path = file(tmp_path, "case,reader,value,seconds,link\nc1,A,0,31,c1.png\nc2,A,0,,\n")
    readings = load_readings([path], StudySettings(), None)
    assert readings.seconds[0, 0, 0] == 31
    assert np.isnan(readings.seconds[0, 1, 0])
    assert readings.links == {"c1": str(tmp_path / "c1.png")}
