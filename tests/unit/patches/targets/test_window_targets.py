from __future__ import annotations

from pathlib import Path
from uuid import UUID

import cv2
import numpy as np
import pytest
import shapely
from shapely import Point

from qupath_her2.errors import PatchError
from qupath_her2.patches.datasets.sources import SourceImage
from qupath_her2.patches.targets.settings import SegmentationSettings
from qupath_her2.patches.targets.targets import BACKGROUND, IGNORE, MEMBRANE, NUCLEUS, TargetFrame
from qupath_her2.patches.targets.window_targets import image_truth
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.project.geojson.regions import RegionFile
from qupath_her2.records import Region

SIDE = 60
FRAME = TargetFrame(0, 0, SIDE, SIDE, 0.5)
CENTRES = (15, 45)


def cells() -> ExistingCells:
    """Two round cells of radius 10 px with nuclei of radius 4 px, centred at (15, 15) and (45, 45)."""
    outlines = [np.array(Point(c, c).buffer(10).exterior.coords[:-1], np.float32) for c in CENTRES]
    nuclei = [np.array(Point(c, c).buffer(4).exterior.coords[:-1], np.float32) for c in CENTRES]
    return ExistingCells(
        np.zeros((2, 16), np.uint8),
        np.concatenate(outlines),
        np.cumsum([0, *map(len, outlines)]),
        np.concatenate(nuclei),
        np.cumsum([0, *map(len, nuclei)]),
        (None, None),
        np.ones(2, bool),
    )


def region(number: int, shape: shapely.Polygon, role: str, class_name: str) -> Region:
    return Region(UUID(int=number), shape, role, class_name)  # type: ignore[arg-type]


def target(folder: Path, found: RegionFile, **known: object) -> np.ndarray | None:
    image = SourceImage("a", "a.png", folder / "a.png")
    settings = SegmentationSettings(**known)  # type: ignore[arg-type]
    truth = image_truth(image, found, settings, size=(SIDE, SIDE), her2=folder / "her2")
    return None if truth is None else truth(FRAME)


def test_a_mask_wins_over_cells_and_annotations(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 3, (SIDE, SIDE)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a_mask.png"), values)
    found = RegionFile(existing_cells=cells())
    assert np.array_equal(target(tmp_path, found), values)
    assert not np.array_equal(target(tmp_path, found, truth="cells"), values)


def test_without_any_truth_there_is_none(tmp_path: Path) -> None:
    drawn = RegionFile((region(1, shapely.box(0, 0, 9, 9), "tumour", "Tumor"),))
    for kind in ("auto", "masks", "annotations", "cells", "results"):
        assert target(tmp_path, drawn, truth=kind) is None


def test_background_is_known_only_in_tumour_regions_with_cells(tmp_path: Path) -> None:
    left = region(1, shapely.box(0, 0, 30, 60), "tumour", "Tumor")
    right = region(2, shapely.box(50, 0, 60, 30), "tumour", "Tumor")
    seen = target(tmp_path, RegionFile((left, right), existing_cells=cells()))
    assert seen is not None
    # The second cell touches neither region, so its own ground is unknown too.
    assert [seen[15, 15], seen[15, 5], seen[15, 9], seen[50, 5]] == [
        NUCLEUS,
        MEMBRANE,
        BACKGROUND,
        BACKGROUND,
    ]
    assert (seen[:, 30:] == IGNORE).all()
    alone = target(tmp_path, RegionFile((left, right), existing_cells=cells()), cells_are_complete=False)
    assert alone is not None
    assert [alone[15, 15], alone[50, 5], alone[45, 45]] == [NUCLEUS, IGNORE, NUCLEUS]


def test_annotations_override_cells_and_ignore_subtracts(tmp_path: Path) -> None:
    tumour = region(1, shapely.box(0, 0, 60, 60), "tumour", "Tumor")
    nucleus = region(2, shapely.box(50, 2, 58, 10), "other", "nucleus")
    ignored = region(3, shapely.box(30, 30, 60, 60), "ignore", "Ignore*")
    found = RegionFile((tumour, nucleus, ignored), existing_cells=cells())
    seen = target(tmp_path, found)
    assert seen is not None
    assert (seen[2:10, 50:58] == NUCLEUS).all()
    assert (seen[30:, 30:] == IGNORE).all()
    assert seen[15, 15] == NUCLEUS
    people = target(tmp_path, found, truth="annotations")
    assert people is not None
    assert people[15, 15] == IGNORE
    by_cells = target(tmp_path, found, truth="cells")
    assert by_cells is not None
    assert (by_cells[2:10, 50:58] == BACKGROUND).all()


def test_a_published_data_set_has_no_results(tmp_path: Path) -> None:
    image = SourceImage("a", "a.png", tmp_path / "a.png")
    with pytest.raises(PatchError, match="published data set"):
        image_truth(image, RegionFile(), SegmentationSettings(truth="results"), size=(SIDE, SIDE))
