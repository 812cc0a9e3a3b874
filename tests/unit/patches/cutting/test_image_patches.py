from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile

from qupath_her2.errors import PatchError
from qupath_her2.patches.cutting.cut_patches import CutContext, manifest_from_regions
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.cutting.labels import LabelRule
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from tests.unit.patches.conftest import noise
from tests.unit.patches.drawn_folders import (
    cases,
    labels_by_box,
    regions,
    slide,
    small_settings,
    tissue,
)


def test_random_positions_are_drawn_for_each_image_and_class(tmp_path: Path) -> None:
    for name in ("a", "b"):
        slide(tmp_path, name, tissue(600, 500))
        regions(tmp_path, name, ("Tumor", shapely.Point(300, 250).buffer(90)))
    chosen = small_settings(
        task="tumour", rest_label="non-tumour", random_per_image=30, rule=LabelRule("majority")
    )
    got = manifest_from_regions(tmp_path, chosen)
    counts = np.zeros((2, 2), int)
    np.add.at(counts, (got.image, got.label), 1)
    assert counts.tolist() == [[30, 30], [30, 30]]
    assert len({tuple(box) for box in got.box_xywh[got.image == 0].tolist()}) == 60
    assert (got.overlap > 0.5).all()
    one, two = (got.box_xywh[got.image == i] for i in (0, 1))
    assert not np.array_equal(one, two)
    assert np.array_equal(got.box_xywh, manifest_from_regions(tmp_path, chosen).box_xywh)
    other = manifest_from_regions(tmp_path, dataclasses.replace(chosen, seed=1))
    assert not np.array_equal(got.box_xywh, other.box_xywh)


@pytest.mark.parametrize(("rule", "n"), [("contained", 4), ("majority", 6), ("overlap", 9)])
def test_the_label_rule_decides_at_the_edge(rule: str, n: int, tmp_path: Path) -> None:
    slide(tmp_path, "a")
    # 52 x 45 px: two whole patches across and down, the third 60 % across, the third 25 % down, the corner 15 %.
    regions(tmp_path, "a", ("3+", shapely.box(0, 0, 52, 45)))
    got = manifest_from_regions(tmp_path, small_settings(rule=LabelRule(rule)))
    assert len(got) == n
    assert got.dropped.get(f"outside the regions (rule {rule})", 0) == 9 - n


def test_drop_rules_are_exact_and_counted(tmp_path: Path) -> None:
    rgb = np.full((20, 80, 3), 120, np.uint8)
    rgb[:, 20:40] = 230
    rgb[:, 40:60] = 5
    slide(tmp_path, "a", rgb)
    regions(tmp_path, "a", ("3+", shapely.box(0, 0, 80, 20)))
    got = manifest_from_regions(tmp_path, small_settings(drop=DROP_RULES["white-black"]))
    assert sorted(labels_by_box(got)) == [(0, 0), (60, 0)]
    assert got.dropped == {"black": 1, "white": 1}
    got = manifest_from_regions(tmp_path, small_settings(drop=DROP_RULES["bright"]))
    assert sorted(labels_by_box(got)) == [(0, 0), (40, 0), (60, 0)]
    assert got.dropped == {"bright": 1}
    regions(tmp_path, "a", ("3+", shapely.box(20, 0, 40, 20)))
    with pytest.raises(PatchError, match=r"bright: 1.*--drop none"):
        manifest_from_regions(tmp_path, small_settings(drop=DROP_RULES["bright"]))


def test_a_damaged_tile_costs_its_patches_only(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, noise(128, 128), tile=(64, 64), photometric="rgb", compression="zlib", metadata=None
    )
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[3]
    data = bytearray(path.read_bytes())
    data[offset : offset + 30] = bytes(30)
    path.write_bytes(bytes(data))
    regions(tmp_path, "a", ("3+", shapely.box(0, 0, 128, 128)))
    chosen = small_settings(grid=GridSettings(32, 0.0), drop=DROP_RULES["white-black"])
    got = manifest_from_regions(tmp_path, chosen, CutContext(listen=said.append))
    assert got.dropped == {"unreadable": 4}
    assert len(got) == 12
    assert "x 64, y 64" in said[0]


def test_clahe_applies_to_reading_and_not_to_drop_rules(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    regions(tmp_path, "a", ("3+", shapely.box(40, 40, 160, 160)))
    plain = manifest_from_regions(tmp_path, small_settings(drop=DROP_RULES["white-black"]))
    equal = manifest_from_regions(tmp_path, small_settings(drop=DROP_RULES["white-black"], equalise=True))
    assert np.array_equal(plain.box_xywh, equal.box_xywh)
    assert equal.settings["clahe"] == {"clip_limit": 2.0, "tiles": 8}
    with PatchPixels(plain) as one, PatchPixels(equal) as two:
        assert not np.array_equal(one.read([0]), two.read([0]))


def test_whole_images_are_one_patch_each(tmp_path: Path) -> None:
    slide(tmp_path, "a", noise(90, 60), um_px=None)
    slide(tmp_path, "b", noise(60, 90), um_px=0.5)
    cases(tmp_path, ("a", "P1", "1+"), ("b", "P2", "3+"))
    got = manifest_from_regions(tmp_path, small_settings(whole_image=True, grid=GridSettings(30, 0.25)))
    assert got.box_xywh.tolist() == [[0, 0, 90, 60], [0, 0, 60, 90]]
    assert got.label.tolist() == [1, 3]
    assert math.isnan(got.pixel_size_um)
    with PatchPixels(got) as pixels:
        assert pixels.read([0, 1]).shape == (2, 30, 30, 3)
    cases(tmp_path, ("a", "P1", "1+"))
    got = manifest_from_regions(tmp_path, small_settings(whole_image=True, grid=GridSettings(30, 0.25)))
    assert got.dropped == {"image: no label": 1}
