"""Settled conflicts count as a person said, as long as the states are the same."""

from __future__ import annotations

import pytest

from qupath_her2.errors import ReviewError
from qupath_her2.review.collect import collect
from qupath_her2.review.known_labels import known_changes
from qupath_her2.review.settlements import read_settlements, settle
from tests.helpers.reviewed_project import reviewed_image


@pytest.fixture
def image(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    for author, classes in (
        ("Anna", {3: "Tumor: 2+", 4: "Tumor: 2+"}),
        ("Bo", {3: "Tumor: 1+", 4: "Tumor: 1+"}),
    ):
        image.correct(classes)
        collect(image.her2, image.refs, author)
    return image


def counted(image):
    return {one.uuid: one.after for one in known_changes(image.her2).changes}


def test_a_settled_conflict_counts_as_it_was_taken(image):
    assert counted(image) == {}
    conflicts = known_changes(image.her2).conflicts
    number = 1 + [one.states[0].uuid for one in conflicts].index(image.uuid(3))
    (settled,) = settle(image.her2, conflicts, "Anna", "Cid", numbers=[number])
    assert (settled.take, settled.by) == ("Anna", "Cid")
    assert counted(image) == {image.uuid(3): "Tumor: 2+"}
    assert [one.states[0].uuid for one in known_changes(image.her2).conflicts] == [image.uuid(4)]
    settle(image.her2, known_changes(image.her2).conflicts, "Bo", "Cid")
    assert counted(image) == {image.uuid(3): "Tumor: 2+", image.uuid(4): "Tumor: 1+"}
    assert known_changes(image.her2).conflicts == ()
    assert len(read_settlements(image.her2)[0]) == 2


def test_a_conflict_is_open_again_where_somebody_changed_her_mind(image):
    settle(image.her2, known_changes(image.her2).conflicts, "Anna", "Cid")
    image.correct({3: "Tumor: 3+", 4: "Tumor: 1+"})
    collect(image.her2, image.refs, "Bo")
    assert [one.states[0].uuid for one in known_changes(image.her2).conflicts] == [image.uuid(3)]


@pytest.mark.parametrize(
    ("take", "numbers", "words"),
    [
        ("Dora", [], "People in them: Anna, Bo"),
        ("Anna", [3], "no conflict 3: open are 1 to 2"),
        ("Anna", [0], "no conflict 0"),
    ],
)
def test_what_cannot_be_settled_is_explained(image, take, numbers, words):
    conflicts = known_changes(image.her2).conflicts
    with pytest.raises(ReviewError, match=words):
        settle(image.her2, conflicts, take, "Cid", numbers=numbers)
    with pytest.raises(ReviewError, match="no open conflict"):
        settle(image.her2, [], take, "Cid", numbers=numbers)


def test_a_damaged_line_is_named_and_the_others_hold(image):
    settle(image.her2, known_changes(image.her2).conflicts, "Anna", "Cid")
    path = image.her2 / "review" / "settlements.jsonl"
    # As a process that was killed leaves it.
    path.write_bytes(path.read_bytes() + b'{"object": ["1_ca')
    assert len(counted(image)) == 2
    assert "line 3 is damaged" in known_changes(image.her2).notes[0]
    image.correct({3: "Tumor: 3+"})
    collect(image.her2, image.refs, "Bo")
    settle(image.her2, known_changes(image.her2).conflicts, "Bo", "Cid")
    assert counted(image)[image.uuid(3)] == "Tumor: 3+"
