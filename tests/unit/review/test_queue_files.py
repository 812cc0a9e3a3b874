"""Files of the queue: readable in a spreadsheet and in QuPath; a blind list tells nothing."""

from __future__ import annotations

import csv
import io

import numpy as np
import orjson
import pytest

from qupath_her2.review.changes import Change
from qupath_her2.review.queue import COMPLETENESS, OWN_OD, QueueSettings, choose_cells
from qupath_her2.review.queue_files import blind_cells, queue_image, write_blind, write_queue
from qupath_her2.review.round_files import Round
from tests.helpers.reviewed_project import reviewed_image


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


@pytest.fixture
def image(tmp_path):
    columns = {OWN_OD: np.linspace(0.02, 0.6, 40), COMPLETENESS: np.linspace(0.5, 1, 40)}
    return reviewed_image(tmp_path / "her2", measurements=columns)


def test_the_queue_is_written_with_outlines_and_reasons(image):
    found = queue_image(image.her2, image.refs[0], [])
    assert (found.case, len(found.table), found.others) == ("1_case", 40, {})
    chosen = choose_cells([found], QueueSettings(8))
    path = write_queue(image.her2, chosen, {found.image: found.table})
    listed = rows(path)
    assert [row["uuid"] for row in listed] == [one.uuid for one in chosen]
    assert all(row["why"] for row in listed)
    features = orjson.loads((path.parent / "1_case.geojson").read_bytes())["features"]
    assert [one["properties"]["cell"] for one in features] == [one.uuid for one in chosen]
    assert features[0]["geometry"]["coordinates"] == [image.ring(chosen[0].row)]
    # An image that is no longer in the queue has no file of it either.
    write_queue(image.her2, [], {})
    assert list(path.parent.glob("*.geojson")) == []


def test_labelled_cells_are_known(image):
    label = Change("1_case", "cell", image.uuid(3), "reclassified", "", "Tumor: 1+")
    found = queue_image(image.her2, image.refs[0], [Round("001-a", 1, "A", "t", (label,))])
    assert found.labelled == {image.uuid(3)}


def test_an_image_without_membranes_has_no_queue(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    assert queue_image(image.her2, image.refs[0], []) is None


def test_a_blind_list_holds_what_others_labelled_and_not_how(image):
    label = Change(
        "1_case", "cell", image.uuid(3), "reclassified", "Tumor: 3+", "Tumor: 1+", "65.00", "10.00"
    )
    cells = blind_cells([Round("001-anna", 1, "Anna", "t", (label,))], [])
    path = write_blind(image.her2, cells, seed=1)
    assert [(row["uuid"], row["x"], row["reader"], row["value"]) for row in rows(path)] == [
        (image.uuid(3), "65.00", "", "")
    ]
    text = path.read_text(encoding="utf-8-sig")
    assert "Tumor" not in text
    assert "Anna" not in text


def test_without_labels_a_blind_list_is_the_queue_shuffled(image):
    found = queue_image(image.her2, image.refs[0], [])
    chosen = choose_cells([found], QueueSettings(8))
    path = write_blind(image.her2, blind_cells([], chosen), seed=1)
    listed = [row["uuid"] for row in rows(path)]
    assert sorted(listed) == sorted(one.uuid for one in chosen)
    assert listed != [one.uuid for one in chosen]
