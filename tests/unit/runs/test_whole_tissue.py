from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.provenance import is_ours, object_uuids, run_key, run_key_of
from qupath_her2.records import PROPOSED_CLASS, Region
from qupath_her2.runs.whole_tissue import whole_tissue_region, whole_tissue_uuid, with_run_uuids
from qupath_her2.slides.tissue import Tissue

HASH = "ab" * 32


def tissue(mask: np.ndarray) -> Tissue:
    high, wide = mask.shape
    return Tissue(mask, 8.0, (240.0, 240.0, 240.0), 8 * wide, 8 * high)


def test_all_pieces_make_one_tumour_region_of_their_area() -> None:
    mask = np.zeros((100, 120), bool)
    mask[10:40, 10:60] = True
    mask[60:90, 20:80] = True
    region = whole_tissue_region(tissue(mask), HASH)
    assert region is not None
    assert (region.role, region.name, region.class_name) == ("tumour", "Whole tissue", None)
    assert region.geometry.area == pytest.approx(mask.sum() * 64, rel=0.1)
    assert region.geometry.geom_type == "MultiPolygon"


def test_glass_alone_makes_no_region() -> None:
    assert whole_tissue_region(tissue(np.zeros((50, 50), bool)), HASH) is None


def test_its_uuid_is_ours_of_this_run_and_of_no_cell() -> None:
    uuid = whole_tissue_uuid(HASH)
    assert is_ours(uuid)
    assert uuid == whole_tissue_uuid(HASH) != whole_tissue_uuid("cd" * 32)
    cells = object_uuids(HASH, 1000)
    assert uuid.bytes not in {row.tobytes() for row in cells}


def test_only_regions_of_our_own_making_take_the_uuids_of_a_run() -> None:
    """A proposal that was accepted keeps its own: measurements are attached to the annotation by it."""
    square = shapely.box(0, 0, 9, 9)
    made = [
        Region(UUID(bytes=uuid.tobytes()), square, "tumour", PROPOSED_CLASS)
        for uuid in object_uuids("cd" * 32, 3)
    ]
    accepted = replace(made[1], class_name="Tumor")
    drawn = Region(UUID(int=5), square, "tumour", None)
    found = with_run_uuids([made[0], accepted, drawn, made[2]], HASH)
    assert [one.uuid for one in found[1:3]] == [accepted.uuid, drawn.uuid]
    assert {run_key_of(found[i].uuid) for i in (0, 3)} == {run_key(HASH)}
    assert found[0].uuid == whole_tissue_uuid(HASH) != found[3].uuid
    assert found == with_run_uuids(found, HASH)
