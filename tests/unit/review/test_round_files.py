"""Rounds as files: what is written is read back, damage is named, copies come together."""

from __future__ import annotations

import orjson
import pytest

from qupath_her2.errors import ReviewError
from qupath_her2.review.changes import Change
from qupath_her2.review.round_files import (
    Round,
    add_copies,
    read_copies,
    read_round,
    read_rounds,
    round_name,
    rounds_folder,
    write_round,
)

SHAPE = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}
CELL = Change(
    "1_case",
    "cell",
    "u",
    "reclassified",
    "Tumor: 1+",
    "Tumor: 2+",
    "5.00",
    "5.00",
    name='case, "x".svs',
    author="Änne",
    time="t",
    round="001-anne",
    geometry=SHAPE,
)
SCORE = Change("1_case", "score", "", "score typed", "2+", "3+", author="Änne", round="001-anne")
ONE = Round("001-anne", 1, "Änne", "2026-01-01T00:00:00Z", (CELL, SCORE), ("a note",))


def test_a_round_is_read_back_as_it_was(tmp_path):
    folder = write_round(tmp_path, ONE)
    assert sorted(path.name for path in folder.iterdir()) == ["1_case.geojson", "changes.csv", "round.json"]
    found = read_round(folder)
    assert found.changes == ONE.changes
    assert found.changes[0].geometry == SHAPE
    assert (found.author, found.number, found.time, found.notes) == ("Änne", 1, ONE.time, ("a note",))
    (feature,) = orjson.loads((folder / "1_case.geojson").read_bytes())["features"]
    assert feature["properties"]["classification"]["name"] == "Tumor: 2+"


def test_the_same_changes_give_the_same_bytes(tmp_path):
    one, two = write_round(tmp_path / "a", ONE), write_round(tmp_path / "b", ONE)
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


@pytest.mark.parametrize(
    ("author", "name"),
    [
        ("Änne Ø. Müller", "012-anne-muller"),
        ("山田", "012-reader"),
        ("../x", "012-x"),
        ("a" * 60, "012-" + "a" * 24),
    ],
)
def test_names_of_folders_are_plain(author, name):
    assert round_name(12, author) == name


def test_a_second_round_of_the_same_name_is_refused(tmp_path):
    write_round(tmp_path, ONE)
    with pytest.raises(ReviewError, match="Collect again"):
        write_round(tmp_path, ONE)
    assert len(list(rounds_folder(tmp_path).iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("changes.csv", b"changed", "changes.csv was changed afterwards"),
        ("1_case.geojson", None, "1_case.geojson' cannot be read"),
        ("round.json", b"{", "is damaged"),
        ("round.json", b'{"format": 9}', "another format than 1"),
        ("round.json", b'{"format": 1, "files": {}}', "is damaged"),
    ],
)
def test_a_damaged_round_is_named_and_the_others_are_read(tmp_path, name, data, words):
    folder = write_round(tmp_path, ONE)
    write_round(tmp_path, Round("002-bo", 2, "Bo", "t", ()))
    if data is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data)
    rounds, (problem,) = read_rounds(tmp_path)
    assert [one.name for one in rounds] == ["002-bo"]
    assert words in problem
    assert "001-anne" in problem


def test_rounds_of_a_copy_are_taken_over_once(tmp_path):
    write_round(tmp_path / "a", ONE)
    write_round(tmp_path / "b", Round("001-bo", 1, "Bo", "t", (CELL,)))
    # The copy was made after the first round.
    write_round(tmp_path / "b", ONE)
    added, problems = add_copies(tmp_path / "a", tmp_path / "b")
    assert ([one.author for one in added], problems) == (["Bo"], [])
    assert add_copies(tmp_path / "a", tmp_path / "b")[0] == []
    (copy,) = read_copies(tmp_path / "a")[0]
    assert (copy.name, copy.changes) == ("001-bo", (CELL,))
    # They are no rounds of this copy.
    assert [one.author for one in read_rounds(tmp_path / "a")[0]] == ["Änne"]
