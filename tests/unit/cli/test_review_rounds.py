"""``review settle`` and ``review undo`` from the command line."""

from __future__ import annotations

import csv
import io

import pytest

from tests.helpers.reviewed_project import reviewed_image
from tests.unit.cli.commands import call


@pytest.fixture
def image(tmp_path):
    image = reviewed_image(tmp_path / "study" / "her2")
    for author, name in (("Anna", "Tumor: 2+"), ("Bo", "Tumor: 1+")):
        image.correct({3: name})
        code, _, err = call("review", "collect", image.her2.parent, "--no-qupath", "--reviewer", author)
        assert code == 0, err
    return image


def conflicts(image):
    text = (image.her2 / "review" / "conflicts.csv").read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_settle_takes_one_side_and_says_what_is_left(image):
    assert len(conflicts(image)) == 2
    code, _, err = call("review", "settle", image.her2.parent, "--take", "Dora")
    assert (code, "People in them: Anna, Bo" in err) == (1, True)
    code, out, err = call("review", "settle", image.her2.parent, "--take", "Anna", "--conflict", "1")
    assert code == 0, err
    assert "1 settled as Anna left them, 0 conflicts" in out
    assert conflicts(image) == []
    _, out, err = call("review", "status", image.her2.parent)
    assert "1 labelled cells, 0 conflicts" in out
    assert "conflict " not in err
    # Nothing new is collected, and the settled conflict stays settled.
    _, out, err = call("review", "collect", image.her2.parent, "--no-qupath", "--reviewer", "Bo")
    assert "nothing new" in out
    assert "conflict " not in err


def test_undo_and_redo(image):
    code, out, err = call("review", "undo", image.her2.parent, "2", "--reviewer", "Cid")
    assert code == 0, err
    assert "1 changes of round 002-bo no longer count" in out
    _, out, _ = call("review", "status", image.her2.parent)
    assert "Bo: 1 cell reclassified  (undone)" in out
    assert "1 labelled cells, 0 conflicts" in out
    assert conflicts(image) == []
    code, out, err = call("review", "undo", image.her2.parent, "002-bo", "--redo")
    assert (code, "counts again" in out) == (0, True), err
    assert len(conflicts(image)) == 2
