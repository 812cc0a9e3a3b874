"""Proposals of the program: what a person does with them is a change, what the program does with them is none."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.images import PROPOSALS
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import new_run
from qupath_her2.project.exchange.score_files import score_json
from qupath_her2.provenance import object_uuids, sha256_file
from qupath_her2.records import SlideScore
from qupath_her2.review.collect import collect
from qupath_her2.review.region_changes import keep_written_regions, read_drawn, written_regions
from qupath_her2.review.written_proposals import regions_before
from tests.helpers.reviewed_project import IGNORED, TUMOUR, annotation, reviewed_image, square

KEPT = (
    annotation(TUMOUR, square(0, 0, 800), "Tumor", "centre"),
    annotation(IGNORED, square(300, 0, 30), "Ignore*"),
)
NEW = "0b2f5c1e-9f0a-4c9e-8a57-33d2f1c0a009"


def propose(image, input_hash, n=3, deleted=None):
    """Write a run of n proposals that QuPath shows; return them as QuPath exports them."""
    uuids = [str(UUID(bytes=one.tobytes())) for one in object_uuids(input_hash, n)]
    features = [
        annotation(uuid, square(50 * k, 900, 40), "Tumor?", f"Proposed tumour {k + 1}")
        for k, uuid in enumerate(uuids)
    ]
    used = {} if deleted is None else {"used": {"deleted_proposals": deleted}}
    with lock_image(image.her2 / PROPOSALS, image.image) as lock, new_run(lock, input_hash) as run:
        run.write("score.json", score_json(SlideScore("proposed", None, "Because.", "none", n_cells=0)))
        run.write("regions.geojson", orjson.dumps({"type": "FeatureCollection", "features": features}))
        run.finish(
            RunRecord(
                run="", input_hash=input_hash, image={"id": image.image, "name": "case.svs"}, settings=used
            )
        )
    show(image, proposal_run=run.run)
    return features


def show(image, **runs):
    path = image.her2 / "images.json"
    content = orjson.loads(path.read_bytes())
    content["images"][0] |= runs
    path.write_bytes(orjson.dumps(content))


def score_again(image):
    """Let the current run be one that was made from the regions as they are now."""
    (path,) = (image.her2 / "results" / image.image).glob("*/run.json")
    record = orjson.loads(path.read_bytes())
    record["inputs"]["regions"] = sha256_file(image.regions)
    path.write_bytes(orjson.dumps(record))
    keep_written_regions(image.her2, image.refs)


def found(image, author="Anna"):
    """Collect; return what the new round was the first to have."""
    collected = collect(image.her2, image.refs, author)
    assert not [note for note in collected.notes if "not compared" in note]
    one = collected.round
    return set() if one is None else {(x.uuid, x.change, x.before, x.after, x.is_undone) for x in one.new}


@pytest.fixture
def image(tmp_path):
    made = reviewed_image(tmp_path / "her2")
    keep_written_regions(made.her2, made.refs)
    return made


def test_proposals_that_came_after_the_score_are_no_change_until_somebody_changes_them(image):
    one, two, three = propose(image, "cd" * 32)
    image.draw(*KEPT, one, two, three)
    assert found(image) == set()
    one["properties"]["classification"]["name"] = "Tumor"
    two["geometry"]["coordinates"] = [square(50, 900, 60)]
    image.draw(*KEPT, one, two)
    assert found(image) == {
        (one["id"], "class changed", "Tumor?", "Tumor", False),
        (two["id"], "reshaped", "1600 px²", "3600 px²", False),
        (three["id"], "removed", "Tumor?", "", False),
    }


def test_they_stay_changed_after_a_new_score_and_new_proposals(image):
    one, two, three = propose(image, "cd" * 32)
    one["properties"]["classification"]["name"] = "Tumor"
    image.draw(*KEPT, one, two)
    assert len(found(image)) == 2
    # The next run takes back what nobody touched, and remembers what was deleted.
    (four,) = propose(image, "ef" * 32, n=1, deleted={three["id"]: "POLYGON ((0 0, 9 0, 9 9, 0 0))"})
    image.draw(*KEPT, one, four)
    keep_written_regions(image.her2, image.refs)
    assert found(image) == set()
    image.draw(*KEPT, one)
    assert found(image) == {(four["id"], "removed", "Tumor?", "", False)}


def test_a_region_that_was_changed_before_a_new_score_is_still_changed(image):
    moved = annotation(TUMOUR, square(7, 0, 800), "Tumor", "centre")
    image.draw(moved, annotation(NEW, square(0, 0, 9), "Tumor"))
    assert {change for _, change, *_ in found(image)} == {"moved", "removed", "drawn"}
    score_again(image)
    assert found(image, "Bo") == set()


def test_an_image_without_a_score_has_changes_of_proposals_alone(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    (image.her2 / "results" / "1_case" / "current.json").unlink()
    one, two = propose(image, "cd" * 32, n=2)
    one["properties"]["classification"]["name"] = "Tumor"
    image.draw(*KEPT, one, two, annotation(NEW, square(0, 0, 9), "Tumor"))
    assert found(image) == {(one["id"], "class changed", "Tumor?", "Tumor", False)}


def test_a_proposal_whose_run_is_gone_is_as_it_was_scored(image):
    one, _, _ = propose(image, "cd" * 32)
    image.draw(*KEPT, one)
    (image.her2 / "review" / "written" / "1_case.geojson").unlink()
    score_again(image)
    show(image, proposal_run="gone")
    for path in (image.her2 / PROPOSALS / "results" / "1_case").glob("*/regions.geojson"):
        path.unlink()
    one["properties"]["classification"]["name"] = "Tumor"
    image.draw(*KEPT, one)
    assert found(image) == {(one["id"], "class changed", "Tumor?", "Tumor", False)}


def test_a_damaged_run_of_proposals_is_named(image):
    propose(image, "cd" * 32)
    (path,) = (image.her2 / PROPOSALS / "results" / "1_case").glob("*/run.json")
    path.write_bytes(b"{")
    (ref,) = image.refs
    scored, _ = written_regions(image.her2, ref.id)
    with pytest.raises(ExchangeError, match=r"run\.json"):
        regions_before(image.her2, ref, scored, read_drawn(image.regions))
