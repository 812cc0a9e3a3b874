"""Cut-points set by hand become a profile for the place of their image, and never replace a calibrated one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.cells.profiles import read_profile, write_profile
from qupath_her2.errors import ReviewError
from qupath_her2.review.hand_profile import save_hand_profile
from qupath_her2.runs.plan import select_images
from tests.helpers.reviewed_project import reviewed_image

CUTS = GradingSettings(faint_od=0.05, moderate_od=0.3, intense_od=0.6)


def save(image, name, cuts=CUTS, ref=None):
    (found,) = select_images(image.her2.parent, (), None)
    return save_hand_profile(
        image.her2, ref or found, name, cuts, set_by="Anna", laboratory="north", version="1"
    )


def test_the_profile_names_person_and_place(tmp_path):
    image = reviewed_image(tmp_path / "study" / "her2")
    path = save(image, "north-1")
    assert path == image.her2 / "profiles" / "north-1.json"
    profile = read_profile(path)
    assert profile.cut_points == CUTS
    assert (profile.place.scanner, profile.place.laboratory) == ("scan 1", "north")
    assert (profile.origin["set_by"], profile.origin["images"]) == ("Anna", [image.image])
    assert profile.figures == {}
    save(image, "north-1", replace(CUTS, intense_od=0.7))
    assert read_profile(path).cut_points.intense_od == 0.7


def test_a_calibrated_profile_stays(tmp_path):
    image = reviewed_image(tmp_path / "study" / "her2")
    path = save(image, "lab")
    write_profile(path, replace(read_profile(path), origin={"labelled_by": {"Bo": 40}}))
    before = path.read_bytes()
    with pytest.raises(ReviewError, match="'lab' was calibrated from labelled cells"):
        save(image, "lab")
    assert path.read_bytes() == before


def test_an_image_without_a_result_has_no_cut_points(tmp_path):
    image = reviewed_image(tmp_path / "study" / "her2")
    (ref,) = select_images(image.her2.parent, (), None)
    with pytest.raises(ReviewError, match="has no result"):
        save(image, "lab", ref=replace(ref, id="9_other"))
