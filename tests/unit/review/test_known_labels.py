"""What counts of all rounds: copies add, damaged rounds are named, and the rest is used."""

from __future__ import annotations

from qupath_her2.review.collect import collect
from qupath_her2.review.known_labels import known_changes
from qupath_her2.review.round_files import add_copies
from tests.helpers.reviewed_project import reviewed_image


def test_rounds_of_copies_count_and_damaged_ones_are_named(tmp_path):
    here, there = reviewed_image(tmp_path / "here"), reviewed_image(tmp_path / "there")
    here.correct({3: "Tumor: 2+"})
    collect(here.her2, here.refs, "Anna")
    there.correct({4: "Tumor: 2+"})
    collect(there.her2, there.refs, "Bo")
    add_copies(here.her2, there.her2)
    known = known_changes(here.her2)
    assert ({one.uuid for one in known.changes}, known.notes) == ({here.uuid(3), here.uuid(4)}, ())
    (here.her2 / "review" / "rounds" / "001-anna" / "changes.csv").write_bytes(b"torn")
    known = known_changes(here.her2)
    assert {one.uuid for one in known.changes} == {here.uuid(4)}
    assert "changes.csv was changed afterwards" in known.notes[0]
