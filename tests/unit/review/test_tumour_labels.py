"""What people said of tumour: from rounds and lists to labels of cells."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np
import orjson
import pytest
import shapely

from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.exchange.images import PROPOSALS
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.provenance import object_uuids, run_key_of
from qupath_her2.records import PROPOSED_CLASS, Region, SlideRef
from qupath_her2.review.changes import Change
from qupath_her2.review.round_files import Round, write_round
from qupath_her2.review.tumour_labels import ImageWords, label_cells, labelled_places, said_of_tumour

IMAGE = "1_case"
REFS = [SlideRef(IMAGE, "case.svs", Path("case.svs"))]
RUN = "ab" * 32


def ours(number=0):
    return str(UUID(bytes=object_uuids(RUN, 1, start=number)[0].tobytes()))


def shape(x=0.0, side=10.0):
    return orjson.loads(shapely.to_geojson(shapely.box(x, 0, x + side, side)))


def change(kind, word, uuid, before="", after="", geometry=None, x="", y="", image=IMAGE):
    return Change(
        image, kind, uuid, word, before, after, x, y, author="Anna", time="2026-01-01T00:00:00Z",
        round="001-anna", geometry=geometry,
    )  # fmt: skip


def collected(her2, *changes):
    write_round(her2, Round("001-anna", 1, "Anna", "2026-01-01T00:00:00Z", changes))
    return said_of_tumour(her2, REFS, ClassNames())


def proposal_run(her2, geometry):
    """The run that wrote a proposal, as far as its regions go."""
    folder = her2 / PROPOSALS / "results" / IMAGE / str(run_key_of(UUID(ours())))
    folder.mkdir(parents=True)
    feature = {
        "type": "Feature", "id": ours(), "geometry": geometry,
        "properties": {"objectType": "annotation", "classification": {"name": PROPOSED_CLASS}},
    }  # fmt: skip
    (folder / "regions.geojson").write_bytes(
        orjson.dumps({"type": "FeatureCollection", "features": [feature]})
    )


def test_cells_that_are_marked_and_graded(tmp_path):
    said = collected(
        tmp_path,
        change("cell", "reclassified", ours(1), "Tumor: 2+", "Ignore*", x="5.00", y="6.00"),
        change("cell", "reclassified", ours(2), "Tumor: 2+", "Tumor: 1+", x="15.00", y="6.00"),
        change("cell", "deleted", ours(3), "Tumor: 2+", "", x="25.00", y="6.00"),
    )
    assert sorted(said.words[IMAGE].marks) == [(5, 6, False), (15, 6, True), (25, 6, False)]
    assert said.reviewed == {IMAGE}
    assert said.reviewers == {"Anna": 3}
    assert list(said.rounds) == ["001-anna"]


def test_lists_of_the_review_window_count_too(tmp_path):
    path = tmp_path / "review" / "labels" / "bo.csv"
    path.parent.mkdir(parents=True)
    rows = [
        (IMAGE, ours(1), "Bo", "x", "5", "6"),
        (IMAGE, ours(2), "Bo", "3+", "7", "8"),
        (IMAGE, ours(3), "Bo", "2+", "", ""),
    ]
    path.write_bytes(csv_bytes([("image", "uuid", "reader", "value", "x", "y"), *rows]))
    said = said_of_tumour(tmp_path, REFS, ClassNames())
    assert sorted(said.words[IMAGE].marks) == [(5, 6, False), (7, 8, True)]
    assert said.notes == ("case.svs: 1 labelled cells of no result that is left; the others are used",)


@pytest.mark.parametrize(
    ("word", "before", "after", "is_rejected"),
    [
        ("removed", PROPOSED_CLASS, "", True),
        ("class changed", PROPOSED_CLASS, "Ignore*", True),
        ("class changed", "Tumor", "Ignore*", True),
        ("class changed", PROPOSED_CLASS, "Tumor", False),
        # In situ looks like invasive carcinoma to the finder: it learns nothing from it.
        ("class changed", PROPOSED_CLASS, "DCIS", False),
        ("class changed", "Stroma", "Ignore*", False),
        ("removed", "Tumor", "", False),
        ("drawn", "", "Ignore*", False),
    ],
)
def test_regions_that_are_no_tumour(tmp_path, word, before, after, is_rejected):
    said = collected(tmp_path, change("region", word, ours(), before, after, shape()))
    rejected = said.words[IMAGE].rejected
    assert [one.area for one in rejected] == ([100.0] if is_rejected else [])


def test_what_was_cut_off_from_a_proposal_is_no_tumour(tmp_path):
    proposal_run(tmp_path, shape(0, 20))
    said = collected(tmp_path, change("region", "reshaped", ours(), "400 px²", "100 px²", shape(0, 10)))
    (cut_off,) = said.words[IMAGE].rejected
    assert cut_off.area == 300
    assert not cut_off.contains(shapely.Point(5, 5))


def test_what_cannot_be_used_is_named(tmp_path):
    said = collected(
        tmp_path,
        change("region", "removed", ours(), PROPOSED_CLASS, "", shape()),
        change("region", "removed", ours(1), PROPOSED_CLASS, "", shape(), image="9_gone"),
    )
    assert list(said.words) == [IMAGE]
    assert said.notes == ("image '9_gone' is not in the project; what was said about it is not used",)


CENTRES = np.stack([np.arange(5, 100, 10.0), np.full(10, 5.0)], 1)
PROBABILITY = np.linspace(0.05, 0.95, 10).astype(np.float32)


def region(role, x, side, number=1, class_name="Tumor"):
    return Region(UUID(int=number), shapely.box(x, 0, x + side, 20), role, class_name)


def test_the_innermost_region_says_what_a_cell_is():
    regions = [
        region("tumour", 0, 60),
        region("stroma", 40, 20, 2, "Stroma"),
        region("ignore", 0, 10, 3, "Ignore*"),
        region("other", 70, 30, 4, "Region*"),
        region("in_situ", 60, 10, 5, "DCIS"),
    ]
    label, learns = label_cells(CENTRES, 0.5, PROBABILITY, regions, None)
    assert label.tolist() == [-1, 1, 1, 1, 0, 0, -1, -1, -1, -1]
    # Of the tumour region, the half that looks most like tumour; the rest may be stroma between its nests.
    assert learns.tolist() == [False, False, True, True, True, True, False, False, False, False]
    assert len(labelled_places(None, regions)) == 2


def test_proposals_that_nobody_accepted_say_nothing():
    made = Region(UUID(ours()), shapely.box(0, 0, 100, 20), "tumour", PROPOSED_CLASS)
    label, learns = label_cells(CENTRES, 0.5, PROBABILITY, [made], None)
    assert (label == -1).all()
    assert not learns.any()
    assert labelled_places(None, [made]) == []


def test_marks_win_over_regions_and_rejected_proposals():
    words = ImageWords(
        ((5.0, 7.0, False), (55.0, 5.0, True), (300.0, 5.0, True)), (shapely.box(50, 0, 80, 20),)
    )
    regions = [region("tumour", 0, 30)]
    label, learns = label_cells(CENTRES, 0.5, PROBABILITY, regions, words)
    assert label.tolist() == [0, 1, 1, -1, -1, 1, 0, 0, -1, -1]
    assert learns.tolist() == [True, True, True, False, False, True, True, True, False, False]
    assert len(labelled_places(words, regions)) == 5


def test_a_rejected_region_that_is_ignored_now_stays_no_tumour():
    box = shapely.box(50, 0, 80, 20)
    ignored = Region(UUID(int=3), box, "ignore", "Ignore*")
    label, _ = label_cells(CENTRES, 0.5, PROBABILITY, [ignored], ImageWords(rejected=(box,)))
    assert label.tolist() == [-1] * 5 + [0] * 3 + [-1] * 2


def test_an_image_without_cells():
    label, learns = label_cells(np.zeros((0, 2)), 0.5, PROBABILITY[:0], [], ImageWords(((1.0, 1.0, True),)))
    assert len(label) == len(learns) == 0
