"""An undone round no longer counts, nothing of it is lost, and its file says how to set objects back."""

from __future__ import annotations

import orjson
import pytest

from qupath_her2.errors import ReviewError
from qupath_her2.review.collect import collect
from qupath_her2.review.known_labels import known_changes
from qupath_her2.review.round_files import read_rounds
from qupath_her2.review.undo import redo_round, undo_round
from tests.helpers.reviewed_project import reviewed_image


@pytest.fixture
def image(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    image.correct({3: "Tumor: 2+", 4: "Tumor: 1+"})
    collect(image.her2, image.refs, "Anna")
    image.correct({3: "Tumor: 2+", 4: "Tumor: 3+", 5: "Tumor: 3+"}, (9,))
    collect(image.her2, image.refs, "Anna")
    return image


def counted(image):
    return {one.uuid: one.after for one in known_changes(image.her2).changes}


def test_an_undone_round_no_longer_counts_until_it_is_redone(image):
    before = counted(image)
    assert len(before) == 4
    done = undo_round(image.her2, "2", "Bo")
    assert (done.round, len(done.changes), done.n_later) == ("002-anna", 3, 0)
    # The cell that both rounds changed is again as the first one left it.
    assert counted(image) == {image.uuid(3): "Tumor: 2+", image.uuid(4): "Tumor: 1+"}
    assert len(read_rounds(image.her2)[0]) == 2
    assert redo_round(image.her2, "002-anna") == "002-anna"
    assert counted(image) == before


def test_the_file_says_how_to_set_each_object_back(image):
    done = undo_round(image.her2, "001-anna", "Bo")
    assert done.n_later == 1
    content = orjson.loads(done.path.read_bytes())
    assert (content["format"], content["by"], content["round"]) == (1, "Bo", "001-anna")
    (change,) = content["changes"]
    assert (change["uuid"], change["change"], change["restore"]) == (
        image.uuid(3),
        "reclassified",
        "Tumor: 3+",
    )
    assert change["geometry"]["coordinates"] == [image.ring(3)]
    assert set(counted(image)) == {image.uuid(4), image.uuid(5), image.uuid(9)}


def test_what_cannot_be_undone_is_explained(image):
    with pytest.raises(ReviewError, match="Rounds: 001-anna, 002-anna"):
        undo_round(image.her2, "9", "Bo")
    with pytest.raises(ReviewError, match="was not undone"):
        redo_round(image.her2, "1")
    undo_round(image.her2, "1", "Bo")
    with pytest.raises(ReviewError, match="is undone already"):
        undo_round(image.her2, "1", "Bo")


def test_a_damaged_file_still_undoes_its_round(image):
    done = undo_round(image.her2, "2", "Bo")
    done.path.write_bytes(done.path.read_bytes()[:30])
    assert len(counted(image)) == 2
    assert "the round counts as undone" in known_changes(image.her2).notes[0]
    done.path.write_bytes(b"[]")
    assert "another format" in known_changes(image.her2).notes[0]
