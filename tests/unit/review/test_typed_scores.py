"""Typed scores become readings; the same score in a later round is not a second one."""

from __future__ import annotations

import csv
import io

import pytest

from qupath_her2.errors import ReviewError
from qupath_her2.review.collect import collect
from qupath_her2.review.round_files import read_rounds
from qupath_her2.review.typed_scores import typed_readings, write_typed_readings
from tests.helpers.reviewed_project import reviewed_image
from tests.unit.cli.commands import call


@pytest.fixture
def image(tmp_path):
    her2 = tmp_path / "study" / "her2"
    images = [reviewed_image(her2, image=name) for name in ("1_a", "2_b")]
    for author, scores in (("Anna", ("2+", "1+")), ("Bo", ("2+", "0")), ("Anna", ("3+", "0"))):
        for one, score in zip(images, scores, strict=True):
            one.type_score(HER2_reader_score=score)
        collect(her2, one.refs, author)
    return images[0]


def test_each_score_is_a_reading_of_its_reader(image):
    rows = typed_readings(read_rounds(image.her2)[0], image.refs)
    assert rows == [
        ("a.svs", "a.svs", "Anna", "1", "2+"),
        ("a.svs", "a.svs", "Anna", "2", "3+"),
        ("b.svs", "b.svs", "Anna", "1", "1+"),
        ("b.svs", "b.svs", "Bo", "1", "0"),
    ]


def test_agreement_takes_a_project(image):
    machine = image.her2.parent / "machine.csv"
    machine.write_text("case,value\na.svs,2+\nb.svs,1+\n", encoding="utf-8")
    code, out, err = call("review", "agreement", image.her2.parent, "--machine", machine)
    assert code == 0, err
    assert "2 readers, 2 slides, 2 rounds" in out
    text = (image.her2 / "review" / "readings.csv").read_text(encoding="utf-8-sig")
    assert len(list(csv.DictReader(io.StringIO(text)))) == 4


def test_without_a_typed_score_there_is_nothing_to_read(tmp_path):
    with pytest.raises(ReviewError, match="HER2 reader score"):
        write_typed_readings(tmp_path / "readings.csv", [])
