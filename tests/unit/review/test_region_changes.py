"""Differences of regions: exactly what a person did, whatever QuPath rounds or reorders."""

from __future__ import annotations

import gzip

import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.score_files import score_json
from qupath_her2.records import SlideScore
from qupath_her2.review.collect import collect
from qupath_her2.review.region_changes import (
    keep_written_regions,
    read_drawn,
    region_changes,
    written_regions,
)
from tests.helpers.reviewed_project import IGNORED, TUMOUR, annotation, reviewed_image, square

NEW = "0b2f5c1e-9f0a-4c9e-8a57-33d2f1c0a009"


def changes(image):
    before, is_whole = written_regions(image.her2, image.image)
    found = region_changes(image.image, before, read_drawn(image.regions), is_whole=is_whole)
    return {(one.kind, one.change, one.uuid, one.before, one.after) for one in found}


@pytest.fixture
def image(tmp_path):
    found = reviewed_image(tmp_path / "her2", n=10)
    keep_written_regions(found.her2, found.refs)
    return found


TUMOUR_AS_WRITTEN = annotation(TUMOUR, square(0, 0, 200), "Tumor", "centre")
IGNORED_AS_WRITTEN = annotation(IGNORED, square(300, 0, 30), "Ignore*")


def test_nothing_changed_and_rounding_is_no_change(image):
    assert changes(image) == set()
    ring = [[200.01, 0], [200, 200], [0, 200], [0, 0], [200.01, 0]]
    image.draw(annotation(TUMOUR, ring, "Tumor", "centre"), IGNORED_AS_WRITTEN)
    assert changes(image) == set()


@pytest.mark.parametrize(
    ("feature", "change"),
    [
        (annotation(TUMOUR, square(7, 0, 200), "Tumor", "centre"), ("moved", "100, 100", "107, 100")),
        (annotation(TUMOUR, square(0, 0, 150), "Tumor", "centre"), ("reshaped", "40000 px²", "22500 px²")),
        (annotation(TUMOUR, square(0, 0, 200), "Tumor", "edge"), ("renamed", "centre", "edge")),
        (annotation(TUMOUR, square(0, 0, 200), "Stroma", "centre"), ("class changed", "Tumor", "Stroma")),
    ],
)
def test_one_change_of_a_region(image, feature, change):
    image.draw(feature, IGNORED_AS_WRITTEN)
    assert changes(image) == {("region", change[0], TUMOUR, *change[1:])}


def test_drawn_and_removed_regions_and_added_cells(image):
    image.draw(TUMOUR_AS_WRITTEN, annotation(NEW, square(0, 0, 9), "Tumor: 2+"))
    assert changes(image) == {
        ("region", "removed", IGNORED, "Ignore*", ""),
        ("cell", "added", NEW, "", "Tumor: 2+"),
    }
    image.draw(TUMOUR_AS_WRITTEN, IGNORED_AS_WRITTEN, annotation(NEW, square(0, 0, 9), "Stroma"))
    assert changes(image) == {("region", "drawn", NEW, "", "Stroma")}


def test_without_a_kept_file_old_annotations_are_not_called_new(tmp_path):
    image = reviewed_image(tmp_path / "her2", n=10)
    # The run knows the regions that it scored, here all; what else is there may be old.
    image.draw(TUMOUR_AS_WRITTEN, IGNORED_AS_WRITTEN, annotation(NEW, square(0, 0, 9), "Stroma"))
    assert changes(image) == set()
    image.draw(TUMOUR_AS_WRITTEN, IGNORED_AS_WRITTEN, annotation(NEW, square(0, 0, 9), "Tumor"))
    assert changes(image) == {("region", "drawn", NEW, "", "Tumor")}


def test_regions_drawn_after_a_run_without_any_are_the_first_drawing(tmp_path):
    image = reviewed_image(tmp_path / "her2", n=10)
    (path,) = (image.her2 / "results" / image.image).glob("*/score.json")
    refused = SlideScore("not assessable", None, "No tumour region.", "none", refusal_code="no_tumour_region")
    path.write_bytes(score_json(refused))
    keep_written_regions(image.her2, image.refs)
    assert not (image.her2 / "review" / "written").exists()
    image.draw(TUMOUR_AS_WRITTEN, annotation(NEW, square(0, 0, 9), "Tumor"))
    assert collect(image.her2, image.refs, "Anna").round is None


def test_only_the_file_of_the_current_run_is_kept(image):
    kept = image.her2 / "review" / "written" / f"{image.image}.geojson"
    before = kept.read_bytes()
    image.draw(TUMOUR_AS_WRITTEN)
    keep_written_regions(image.her2, image.refs)
    assert kept.read_bytes() == before


def test_a_damaged_file_is_named(image):
    image.regions.write_bytes(b"{")
    with pytest.raises(ExchangeError, match=r"1_case\.geojson' are no feature collection"):
        read_drawn(image.regions)


def test_packed_files_are_read(image):
    packed = image.regions.with_suffix(".geojson.gz")
    packed.write_bytes(gzip.compress(image.regions.read_bytes()))
    assert read_drawn(packed) == read_drawn(image.regions)
