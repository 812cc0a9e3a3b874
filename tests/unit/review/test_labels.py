"""Labels from rounds, lists and the queue; damaged files are named and the rest is used."""

from __future__ import annotations

import pytest

from qupath_her2.errors import ReviewError
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.review.changes import Change
from qupath_her2.review.labels import (
    NOT_TUMOUR,
    CellLabel,
    list_labels,
    merged_labels,
    queue_labels,
    round_labels,
)
from tests.helpers.labelled_project import write_labels

UUID = "0b2f5c1e-9f0a-8c9e-8a57-33d2f1c0a0"


def test_rounds_give_corrections_and_no_regions():
    changes = (
        Change("1_a", "cell", f"{UUID}01", "reclassified", "Tumor: 1+", "Tumor: 2+", author="Anna"),
        Change("1_a", "cell", f"{UUID}02", "deleted", "Tumor: 1+", "", author="Anna"),
        Change("1_a", "cell", f"{UUID}03", "reclassified", "Tumor: 1+", "Stroma", author="Anna"),
        Change("1_a", "cell", f"{UUID}04", "shifted", "", "3 px", author="Anna"),
        Change("1_a", "region", f"{UUID}05", "renamed", "a", "b", author="Anna"),
    )
    found = round_labels(changes)
    assert [(one.uuid[-2:], one.code, one.is_correction) for one in found] == [
        ("01", 2, True),
        ("02", NOT_TUMOUR, True),
        ("03", NOT_TUMOUR, True),
    ]


def test_a_list_is_read_and_what_is_wrong_in_it_is_named(tmp_path):
    lines = [("1_a", f"{UUID}01", "Bo", "2+"), ("1_a", f"{UUID}02", "", "x"), ("1_a", f"{UUID}03", "Bo", "")]
    good = write_labels(tmp_path / "bo.csv", [*lines, ("1_a", f"{UUID}04", "Bo", "5")])
    torn = tmp_path / "torn.csv"
    torn.write_bytes(b"image,uuid\n\xff\xfe\x00")
    other = tmp_path / "other.csv"
    other.write_bytes(csv_bytes([("image", "value"), ("1_a", "2+")]))
    found, problems = list_labels([good, torn, other, tmp_path / "gone.csv"])
    assert [(one.uuid[-2:], one.code, one.reader) for one in found] == [
        ("01", 2, "Bo"),
        ("02", NOT_TUMOUR, "bo"),
    ]
    assert len(problems) == 4
    assert "line 5" in problems[0]
    assert "has no column uuid, reader" in problems[2]
    assert all("the others are used" in one for one in problems)


def test_the_last_word_of_a_reader_counts_and_readers_that_differ_are_left_out():
    def said(uuid, code, reader, is_correction=False):
        return CellLabel("1_a", uuid, code, reader, is_correction)

    labels = [
        said("1", 1, "Anna"),
        said("1", 2, "Anna"),
        said("2", 1, "Anna"),
        said("2", 2, "Bo"),
        said("3", 0, "Bo"),
    ]
    merged, n_differing = merged_labels(labels)
    assert [(one.uuid, one.code) for one in merged] == [("1", 2), ("3", 0)]
    assert n_differing == 1


def test_cells_of_the_queue_that_were_left_are_confirmed(tmp_path):
    path = tmp_path / "review" / "queue" / "queue.csv"
    with pytest.raises(ReviewError, match="no queue"):
        queue_labels(tmp_path, "Anna", [])
    path.parent.mkdir(parents=True)
    header = ("order", "image", "case", "uuid", "x", "y", "class", "why")
    rows = [
        ("1", "1_a", "c", "u1", "1", "2", "Tumor: 2+", "w"),
        ("2", "1_a", "c", "u2", "1", "2", "Tumor: 3+", "w"),
    ]
    path.write_bytes(csv_bytes([header, *rows]))
    known = CellLabel("1_a", "u1", 1, "Anna", True)
    assert [(one.uuid, one.code, one.reader) for one in queue_labels(tmp_path, "Anna", [known])] == [
        ("u2", 3, "Anna")
    ]
    path.write_bytes(csv_bytes([header, ("1", "1_a", "c", "u1", "1", "2", "Stroma", "w")]))
    with pytest.raises(ReviewError, match="damaged"):
        queue_labels(tmp_path, "Anna", [])
