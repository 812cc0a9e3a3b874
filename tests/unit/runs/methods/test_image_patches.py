"""Patch grid of a prediction: inside the tumour, without the other regions, at the network's scale."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.config import Settings
from qupath_her2.errors import PatchError
from qupath_her2.models.card import ModelCard
from qupath_her2.patches.cutting.drop import DropSettings
from qupath_her2.patches.cutting.labels import LabelRule
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.records import Region
from qupath_her2.runs.image_setup import set_up_image
from qupath_her2.runs.inputs import gather_inputs
from qupath_her2.runs.methods.image_patches import image_manifest
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.types import ImageSetup
from qupath_her2.slides.readers.view import open_image

CARD = ModelCard("convoher2", ("0", "3+"), "her2-2", 0.5, 32, (0.5,) * 3, (0.5,) * 3)
NOTHING_DROPPED = PatchSettings(drop=DropSettings(white_share=0.0, bright_share=0.0, black_share=0.0))


def region(number: int, shape: shapely.Geometry, role: str = "tumour") -> Region:
    return Region(UUID(int=number), shape, role)  # type: ignore[arg-type]


def set_up(project: Path, regions: tuple[Region, ...], patches: PatchSettings, **options: Any) -> ImageSetup:
    """The strong image of 420 x 420 px at 0.5 µm, with these regions."""
    run = RunOptions(images=("strong*",), **options)
    (job,) = plan_jobs(project, run, replace(Settings(), patches=patches)).jobs
    with open_image(job.ref) as slide:
        setup = set_up_image(job, slide, gather_inputs(job, slide))
    return replace(setup, context=replace(setup.context, regions=regions))


def test_patches_belong_to_their_tumour_region_and_leave_the_others_out(project: Path) -> None:
    regions = (
        region(1, shapely.box(0, 0, 128, 128)),
        region(2, shapely.box(0, 0, 64, 128), "stroma"),
        region(3, shapely.box(192, 0, 256, 64)),
    )
    manifest, owner = image_manifest(set_up(project, regions, NOTHING_DROPPED), CARD)
    assert owner.dtype == np.int32
    corners = {0: set(), 1: set()}  # type: dict[int, set[tuple[int, int]]]
    for (x, y, width, height), index in zip(manifest.box_xywh.tolist(), owner.tolist(), strict=True):
        assert (width, height) == (32, 32)
        corners[index].add((x, y))
    assert corners[0] == {(x, y) for x in (64, 96) for y in (0, 32, 64, 96)}
    assert corners[1] == {(x, y) for x in (192, 224) for y in (0, 32)}
    assert (manifest.label == -1).all()
    assert manifest.class_names == CARD.class_names


def test_labels_by_small_overlaps_are_not_predicted(project: Path) -> None:
    regions = (region(1, shapely.box(0, 0, 40, 64)),)
    generous = replace(NOTHING_DROPPED, rule=LabelRule("overlap", 0.05))
    manifest, _ = image_manifest(set_up(project, regions, generous), CARD)
    # The second column lies in the region by a quarter only.
    assert set(manifest.box_xywh[:, 0].tolist()) == {0}


def test_a_whole_image_is_one_patch_whatever_its_pixel_size(project: Path) -> None:
    whole = replace(NOTHING_DROPPED, whole_image=True)
    setup = set_up(project, (region(1, shapely.box(0, 0, 420, 420)),), whole)
    card = replace(CARD, pixel_size_um=math.nan)
    manifest, owner = image_manifest(setup, card)
    assert manifest.box_xywh.tolist() == [[0, 0, 420, 420]]
    assert owner.tolist() == [0]


def test_pixels_coarser_than_the_networks_are_refused(project: Path) -> None:
    setup = set_up(project, (region(1, shapely.box(0, 0, 128, 128)),), NOTHING_DROPPED, pixel_size_um=0.9)
    with pytest.raises(PatchError, match=r"too coarse for patches at 0\.5 µm/px"):
        image_manifest(setup, CARD)
