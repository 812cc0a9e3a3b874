from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from qupath_her2.records import SlideRef
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.stain_choice import StainChoice, choose_stains
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.stains.estimate import StainDirections
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, unit_vector
from qupath_her2.slides.tissue import find_tissue

H, D = unit_vector((0.68, 0.65, 0.34), "h"), unit_vector((0.34, 0.57, 0.74), "d")
GROUP = StainVectors(H, D, source="estimated from 5 images, DAB from 2")
FAR = unit_vector((0.83, 0.55, 0.10), "far")


@pytest.fixture
def job(project: Path) -> ScoreJob:
    return plan_jobs(project, RunOptions(images=("strong",))).jobs[0]


def choose(job: ScoreJob, stains: StainVectors | None, own: StainDirections | None) -> StainChoice:
    with open_image(job.ref) as slide:
        return choose_stains(
            replace(job, stains=stains, own_stains=own), slide, find_tissue(slide, pixel_size_um=0.5), 0.5
        )


def test_a_member_uses_its_group_and_states_how_far_its_own_lie(job: ScoreJob) -> None:
    found = choose(job, GROUP, StainDirections(unit_vector((0.67, 0.66, 0.335), "own"), D, 0.3, 9000))
    assert found.vectors.hematoxylin + found.vectors.dab == pytest.approx(GROUP.hematoxylin + GROUP.dab)
    assert found.origin == "stain vectors: estimated from 5 images, DAB from 2; this image's own lie 1° away"
    assert found.warning == ""
    # Its own are the same within 2°; QuPath's defaults are not.
    assert set(found.alternatives) == {"QuPath's defaults"}


def test_a_member_without_dab_is_compared_by_haematoxylin(job: ScoreJob) -> None:
    found = choose(job, GROUP, StainDirections(H, None, 0.01, 9000))
    assert found.origin.endswith("; this image's own lie 0° away (haematoxylin alone)")


def test_an_image_far_from_its_group_leaves_it_and_says_so(job: ScoreJob) -> None:
    found = choose(job, GROUP, StainDirections(FAR, D, 0.3, 9000))
    assert found.vectors.hematoxylin == pytest.approx(StainVectors(FAR, D).hematoxylin)
    assert found.origin == "stain vectors: estimated from this image alone"
    assert re.fullmatch(
        r"The stain vectors of this image lie 1\d° from those of its group \(limit 10°\): "
        r"it left the group and is scored with its own\.",
        found.warning,
    )
    assert set(found.alternatives) == {"those of its group", "QuPath's defaults"}
    without_dab = choose(job, GROUP, StainDirections(FAR, None, 0.01, 9000))
    assert "is scored with QuPath H-DAB defaults (DAB in 1.0 %" in without_dab.warning
    assert set(without_dab.alternatives) == {"those of its group"}


@pytest.mark.parametrize(("source", "words"), [("QuPath", "set in QuPath"), ("user", "set in her2.toml")])
def test_vectors_that_a_person_set_are_used_however_far_they_lie(
    job: ScoreJob, source: str, words: str
) -> None:
    given = StainVectors(FAR, D, (240.0, 240.0, 240.0), source)
    found = choose(job, given, StainDirections(H, D, 0.3, 9000))
    assert found.vectors == given
    assert found.origin.startswith(f"stain vectors: {words}; this image's own lie 1")
    assert set(found.alternatives) == {"the image's own", "QuPath's defaults"}


def test_an_image_that_was_not_sampled_is_sampled_by_its_job(job: ScoreJob) -> None:
    assert job.own_stains is not None
    assert choose(job, GROUP, None) == choose(job, GROUP, job.own_stains)


def test_defaults_are_no_group_to_leave(job: ScoreJob) -> None:
    found = choose(job, None, StainDirections(FAR, D, 0.3, 9000))
    assert found.vectors.hematoxylin == QUPATH_H_DAB.hematoxylin
    assert found.warning == ""
    assert set(found.alternatives) == {"the image's own"}


def test_the_image_keeps_its_glass_colour(job: ScoreJob, project: Path) -> None:
    assert isinstance(job.ref, SlideRef)
    with open_image(job.ref) as slide:
        glass = find_tissue(slide, pixel_size_um=0.5).background_rgb
    found = choose(job, GROUP, StainDirections(H, D, 0.3, 9000))
    assert found.vectors.background_rgb == glass
    assert found.alternatives["QuPath's defaults"].background_rgb == glass
