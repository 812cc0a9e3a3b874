from __future__ import annotations

import csv
import json
from pathlib import Path
from uuid import UUID

import cv2
import numpy as np
import pytest
import shapely
from shapely import Point

from qupath_her2.errors import PatchError
from qupath_her2.patches.cutting.cut_patches import CutContext, cut_patches
from qupath_her2.patches.cutting.cut_windows import cut_windows, scores_of
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.datasets.sources import project_source
from qupath_her2.patches.manifest import PatchManifest, read_manifest, write_manifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.targets.settings import SegmentationSettings
from qupath_her2.patches.targets.stored_targets import Targets, read_targets, write_targets
from qupath_her2.patches.targets.targets import BACKGROUND, IGNORE, MEMBRANE, NUCLEUS
from qupath_her2.patches.tasks import find_task
from tests.unit.patches.conftest import noise

SIDE = 20
CELL, DOT = Point(30, 30).buffer(12), Point(30, 30).buffer(5)


def settings(truth: str = "auto", split: str = "none", um_px: float = 0.5, **known: object) -> PatchSettings:
    dense = SegmentationSettings(truth=truth, **{"crop_px": 0, **known})  # type: ignore[arg-type]
    return PatchSettings(
        task="segmentation",
        grid=GridSettings(SIDE, um_px),
        split=split,
        segmentation=dense,  # type: ignore[arg-type]
    )


def image(folder: Path, name: str, side: int = 100) -> Path:
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), noise(side, side))
    return path


def mask(folder: Path, name: str, values: np.ndarray) -> None:
    cv2.imwrite(str(folder / f"{name}_mask.png"), values)


def features(folder: Path, name: str, *drawn: dict[str, object]) -> None:
    content = {"type": "FeatureCollection", "features": [{"type": "Feature", **one} for one in drawn]}
    (folder / f"{name}.geojson").write_text(json.dumps(content))


def annotation(number: int, class_name: str, shape: shapely.Geometry) -> dict[str, object]:
    properties = {"objectType": "annotation", "classification": {"name": class_name}}
    return {
        "id": str(UUID(int=number)),
        "geometry": shapely.geometry.mapping(shape),
        "properties": properties,
    }


def cell(number: int, outline: shapely.Geometry, nucleus: shapely.Geometry) -> dict[str, object]:
    return {
        "id": str(UUID(int=number)),
        "geometry": shapely.geometry.mapping(outline),
        "nucleusGeometry": shapely.geometry.mapping(nucleus),
        "properties": {"objectType": "cell"},
    }


def cut(folder: Path, chosen: PatchSettings, said: list[str] | None = None) -> tuple[PatchManifest, Targets]:
    source = project_source(folder, task=find_task("segmentation"), pixel_size_um=0.5)
    context = CutContext(listen=None if said is None else said.append)
    return cut_windows(source, chosen, context, her2=folder / "her2")


def whole(manifest: PatchManifest, targets: Targets, side: int = 100) -> np.ndarray:
    """All windows of one image laid back where they lie."""
    out = np.full((side, side), IGNORE, np.uint8)
    for row, (x, y, w, h) in enumerate(manifest.box_xywh.tolist()):
        out[y : y + h, x : x + w] = targets.read(np.array([row]))[0]
    return out


def test_masks_become_targets_and_are_not_taken_for_images(tmp_path: Path) -> None:
    image(tmp_path, "a")
    values = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (100, 100))
    values[:SIDE, :SIDE] = 255
    mask(tmp_path, "a", values)
    manifest, targets = cut(tmp_path, settings())
    assert [one.name for one in manifest.images] == ["a.png"]
    # 25 windows of 20 px, less the one of which nothing is known.
    assert len(manifest) == 24
    assert manifest.dropped == {"too little known": 1}
    assert np.array_equal(whole(manifest, targets), values)
    known = (targets.read(np.arange(24)) != IGNORE).mean(axis=(1, 2))
    assert np.allclose(manifest.overlap, known)
    assert manifest.label.tolist() == targets.counts.argmax(1).tolist()
    assert (manifest.class_names, manifest.task) == (("Background", "Membrane", "Nucleus"), "segmentation")


def test_pixels_and_targets_show_the_same_place_at_another_scale(tmp_path: Path) -> None:
    # A picture that is its own mask, at half the scale: windows of 20 px are 40 of its own.
    values = np.kron(np.random.default_rng(1).integers(0, 3, (10, 10)), np.ones((10, 10))).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), np.repeat(values[..., None] * 100, 3, axis=2))
    mask(tmp_path, "a", values)
    manifest, targets = cut(tmp_path, settings(um_px=1.0))
    assert manifest.box_xywh[:, 2].tolist() == [40] * 4
    with PatchPixels(manifest) as pixels:
        seen = pixels.read(np.arange(4))[..., 0]
    assert np.array_equal(np.round(seen / 100), targets.read(np.arange(4)))


def test_crops_drop_their_remainders(tmp_path: Path) -> None:
    image(tmp_path, "a", side=115)
    mask(tmp_path, "a", np.zeros((115, 115), np.uint8))
    manifest, _ = cut(tmp_path, settings(crop_px=50))
    # Two crops of 50 px a side, two windows of 20 px a side in each.
    assert sorted(set(manifest.box_xywh[:, 0].tolist())) == [0, 20, 50, 70]
    assert len(manifest) == 16
    with pytest.raises(PatchError, match="smaller than a crop: 1"):
        cut(tmp_path, settings(crop_px=200))


def test_cells_in_a_tumour_region_are_complete_and_the_rest_is_unknown(tmp_path: Path) -> None:
    image(tmp_path, "a")
    region = shapely.box(0, 0, 60, 60)
    features(
        tmp_path,
        "a",
        annotation(1, "Tumor", region),
        annotation(2, "Ignore*", shapely.box(50, 50, 60, 60)),
        cell(3, CELL, DOT),
    )
    seen = whole(*cut(tmp_path, settings()))
    assert [seen[30, 30], seen[30, 18], seen[30, 22], seen[5, 5]] == [
        NUCLEUS,
        MEMBRANE,
        BACKGROUND,
        BACKGROUND,
    ]
    assert (seen[:, 60:] == IGNORE).all()
    assert (seen[51:59, 51:59] == IGNORE).all()
    partly = whole(*cut(tmp_path, settings(cells_are_complete=False, least_known=0.0)))
    assert partly[5, 5] == IGNORE
    assert partly[30, 22] == BACKGROUND


def test_annotations_override_the_cells_under_them(tmp_path: Path) -> None:
    image(tmp_path, "a")
    features(
        tmp_path,
        "a",
        annotation(1, "Tumor", shapely.box(0, 0, 60, 60)),
        annotation(2, "nucleus", shapely.box(2, 2, 10, 10)),
        cell(3, CELL, DOT),
    )
    auto, people, cells = (whole(*cut(tmp_path, settings(kind))) for kind in ("auto", "annotations", "cells"))
    assert (auto[3:9, 3:9] == NUCLEUS).all()
    assert auto[30, 30] == NUCLEUS
    assert (people[3:9, 3:9] == NUCLEUS).all()
    assert people[30, 30] == IGNORE
    assert (cells[3:9, 3:9] == BACKGROUND).all()


def test_the_split_is_by_case_and_scores_are_kept(tmp_path: Path) -> None:
    rows = [("image", "case", "her2")]
    for number in range(8):
        image(tmp_path, f"i{number}", side=40)
        mask(tmp_path, f"i{number}", np.zeros((40, 40), np.uint8))
        rows.append((f"i{number}.png", f"K{number // 2}", ("1+", "1+", "3+", "3+")[number // 2]))
    with (tmp_path / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    chosen = settings(split="by-case")
    manifest, targets = cut(tmp_path, chosen)
    assert scores_of(manifest) == ["1+"] * 4 + ["3+"] * 4
    for case in range(4):
        rows_of = np.isin(manifest.image, (2 * case, 2 * case + 1))
        assert len(set(manifest.split[rows_of].tolist())) == 1
    assert set(manifest.split.tolist()) == {0, 1, 2}
    write_targets(tmp_path / "out", targets)
    write_manifest(tmp_path / "out", manifest)
    again = read_manifest(tmp_path / "out")
    assert scores_of(again) == scores_of(manifest)
    assert np.array_equal(read_targets(tmp_path / "out", again).counts, targets.counts)


def test_images_without_ground_truth_or_scale_are_reported(tmp_path: Path) -> None:
    image(tmp_path, "bare")
    with pytest.raises(PatchError, match=r"no truth: 1.*annotate Membrane"):
        cut(tmp_path, settings())
    mask(tmp_path, "bare", np.zeros((100, 100), np.uint8))
    said: list[str] = []
    source = project_source(tmp_path, task=find_task("segmentation"))
    with pytest.raises(PatchError, match="no pixel size: 1"):
        cut_windows(source, settings(), CutContext(listen=said.append))
    assert "the membrane width is in µm" in said[0]
    with pytest.raises(PatchError, match="no truth: 1"):
        cut(tmp_path, settings("cells"))
    with pytest.raises(PatchError, match="no truth: 1"):
        cut(tmp_path, settings("results"))


def test_a_mask_of_another_size_stops_with_its_name(tmp_path: Path) -> None:
    image(tmp_path, "a")
    mask(tmp_path, "a", np.zeros((90, 100), np.uint8))
    with pytest.raises(PatchError, match=r"a_mask\.png.*100 x 90"):
        cut(tmp_path, settings())


def test_patches_cannot_be_cut_for_segmentation(tmp_path: Path) -> None:
    image(tmp_path, "a")
    source = project_source(tmp_path, task=find_task("segmentation"))
    with pytest.raises(PatchError, match="cut_windows"):
        cut_patches(source, settings())
