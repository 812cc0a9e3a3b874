from __future__ import annotations

import math
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.errors import PatchError
from qupath_her2.patches.cutting.cut_patches import CutContext, cut_patches, manifest_from_regions
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.datasets.loaders import load_layout
from qupath_her2.patches.manifest import manifest_hash, read_manifest, write_manifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from tests.unit.patches.conftest import noise
from tests.unit.patches.drawn_folders import (
    SMALL,
    draw_cohort,
    labels_by_box,
    regions,
    slide,
    small_settings,
)


def test_regions_become_labelled_patches_with_their_uuid(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    regions(
        tmp_path,
        "a",
        ("Tumor: 3+", shapely.box(0, 0, 60, 40)),
        ("1+", shapely.box(100, 100, 140, 140)),
        ("Ignore*", shapely.box(40, 0, 60, 20)),
    )
    got = manifest_from_regions(tmp_path, SMALL)
    three = {(x, y): "3+" for x in (0, 20, 40) for y in (0, 20)} | {}
    del three[(40, 0)]
    one = {(x, y): "1+" for x in (100, 120) for y in (100, 120)}
    assert labels_by_box(got) == {**three, **one}
    assert (got.overlap == 1).all()
    uuids = {row.tobytes() for row in got.region_uuid[got.label == 3]}
    assert uuids == {UUID(int=1).bytes}
    assert got.class_names == ("0", "1+", "2+", "3+")
    assert (got.patch_size_px, got.pixel_size_um, got.task) == (20, 0.5, "her2-4")
    assert got.images[0].pixel_size_um == pytest.approx(0.5)
    assert len(got.images[0].fingerprint) == 64


def test_unlabelled_patches_are_kept_for_prediction(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    regions(tmp_path, "a", ("Tumor", shapely.box(0, 0, 40, 20)))
    with pytest.raises(PatchError, match=r"no label: 2.*--keep-unlabelled"):
        manifest_from_regions(tmp_path, SMALL)
    got = manifest_from_regions(tmp_path, small_settings(keep_unlabelled=True))
    assert got.label.tolist() == [-1, -1]
    assert (got.region_uuid == np.frombuffer(UUID(int=1).bytes, np.uint8)).all()


def test_scale_is_in_micrometres_and_images_without_one_are_named(tmp_path: Path) -> None:
    said: list[str] = []
    drawn = ("3+", shapely.box(0, 0, 200, 200))
    for name, um_px in (("fine", 0.25), ("same", 0.5), ("coarse", 1.0), ("unknown", None)):
        slide(tmp_path, name, um_px=um_px)
        regions(tmp_path, name, drawn)
    got = manifest_from_regions(tmp_path, SMALL, CutContext(listen=said.append))
    side = {image.name: got.box_xywh[got.image == i, 2] for i, image in enumerate(got.images)}
    assert {name: set(sides.tolist()) for name, sides in side.items()} == {"fine.tif": {40}, "same.tif": {20}}
    assert got.dropped == {"image: no pixel size": 1, "image: pixels too coarse": 1}
    assert any("'coarse.tif'" in text for text in said)
    assert any("'unknown.tif' has no pixel size" in text for text in said)
    forced = manifest_from_regions(tmp_path, SMALL, pixel_size_um=0.5)
    assert len(forced.images) == 4
    native = manifest_from_regions(tmp_path, small_settings(grid=GridSettings(20, 0.0)))
    assert len(native.images) == 4
    assert math.isnan(native.pixel_size_um)


def test_broken_images_and_regions_are_reported_counted_and_skipped(tmp_path: Path) -> None:
    said: list[str] = []
    for name in ("good", "bad", "worse"):
        slide(tmp_path, name)
        regions(tmp_path, name, ("3+", shapely.box(0, 0, 40, 40)))
    (tmp_path / "bad.tif").write_bytes(b"II*\0 no more")
    (tmp_path / "worse.geojson").write_text("{")
    got = manifest_from_regions(tmp_path, SMALL, CutContext(listen=said.append))
    assert [image.name for image in got.images] == ["good.tif"]
    assert got.dropped == {"image: cannot be read": 2}
    assert any("bad.tif" in text for text in said)
    assert any("worse.geojson" in text for text in said)


def test_the_same_source_and_settings_give_the_same_manifest(tmp_path: Path) -> None:
    draw_cohort(tmp_path)
    chosen = small_settings(split="auto", drop=DROP_RULES["white-black"], random_per_image=3)
    one, two = (manifest_from_regions(tmp_path, chosen, CutContext(threads=n)) for n in (1, 4))
    assert manifest_hash(one) == manifest_hash(two)
    write_manifest(tmp_path / "her2" / "patches" / "p", one)
    assert manifest_hash(read_manifest(tmp_path / "her2" / "patches" / "p")) == manifest_hash(one)
    assert one.settings["grid"] == {
        "patch_size_px": 20,
        "target_um_px": 0.5,
        "stride_px": 0,
        "native_within": 0.05,
    }
    assert one.settings["clahe"] is None


def test_progress_names_every_image(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    draw_cohort(tmp_path, 3)
    manifest_from_regions(tmp_path, SMALL, CutContext(progress=lambda *args: seen.append(args)))
    assert seen == [(0, 3, "s0.tif"), (1, 3, "s1.tif"), (2, 3, "s2.tif"), (3, 3, "")]


def test_a_published_layout_is_cut_like_a_project(tmp_path: Path) -> None:
    from PIL import Image

    for split, n in (("train", 4), ("test", 2)):
        for i in range(n):
            folder = tmp_path / "IHC" / split
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(64, 64, i)).save(folder / f"{i:05d}_{split}_{i % 2 + 1}+.png")
    got = cut_patches(load_layout("bci", tmp_path), small_settings(split="auto", grid=GridSettings(32, 0.25)))
    assert len(got) == 6
    # BCI has no validation part: one image of the training part makes one.
    assert sorted(got.split.tolist()) == [0, 0, 0, 1, 2, 2]
    assert got.label_counts() == {"0": 0, "1+": 3, "2+": 3, "3+": 0}
    assert got.settings["split"]["kind"] == "as published"
    assert "patch-level, leakage possible" in got.settings["split"]["warning"]
    with PatchPixels(got) as pixels:
        assert pixels.read([0]).shape == (1, 32, 32, 3)
