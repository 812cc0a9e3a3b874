from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.provenance import is_ours, object_uuids
from qupath_her2.runs.whole_tissue import whole_tissue_region, whole_tissue_uuid
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
