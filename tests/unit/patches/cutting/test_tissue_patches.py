"""Patches of all tissue, for counts over whole slides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from qupath_her2.patches.cutting.cut_patches import manifest_from_regions
from qupath_her2.patches.cutting.tissue_patches import tissue_patches
from tests.unit.patches.drawn_folders import SMALL, cases, regions, slide, tissue


def test_all_tissue_of_an_image_is_cut_whatever_is_annotated(tmp_path: Path) -> None:
    for name in ("a", "b"):
        slide(tmp_path, name, tissue(600, 500))
        regions(tmp_path, name, ("Tumor", shapely.box(200, 200, 240, 240)))
    cases(tmp_path, ("a", "P1", "2+"), ("b", "P2", "3+"))
    annotated = manifest_from_regions(tmp_path, SMALL)
    found = tissue_patches(annotated, SMALL)
    assert found.images == annotated.images
    assert [image.label for image in found.images] == ["2+", "3+"]
    for image in (0, 1):
        own = found.box_xywh[found.image == image]
        # Tissue lies from a fifth to four fifths; its outline is known to about a mask pixel.
        assert len(own) == 18 * 15
        assert len(own) > 10 * (annotated.image == image).sum()
        (split,) = set(annotated.split[annotated.image == image].tolist())
        assert set(found.split[found.image == image].tolist()) == {split}
    assert (found.label == -1).all()


def test_glass_has_no_patches_and_keeps_its_place(tmp_path: Path) -> None:
    slide(tmp_path, "a", np.full((300, 300, 3), 245, np.uint8))
    regions(tmp_path, "a", ("Tumor", shapely.box(100, 100, 200, 200)))
    slide(tmp_path, "b", tissue(600, 500))
    regions(tmp_path, "b", ("Tumor", shapely.box(200, 200, 240, 240)))
    cases(tmp_path, ("a", "P1", "0"), ("b", "P2", "3+"))
    found = tissue_patches(manifest_from_regions(tmp_path, SMALL), SMALL)
    assert [image.name[0] for image in found.images] == ["a", "b"]
    assert set(found.image.tolist()) == {1}
