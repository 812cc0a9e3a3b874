from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from tests.unit.patches.conftest import image_of, manifest_of, noise, tiled


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_scaling_is_the_mean_of_the_pixels_covered(factor: int, tmp_path: Path) -> None:
    rgb = noise(96, 96, 4)
    side = 48 // factor
    manifest = manifest_of([image_of(tmp_path / "a.png", rgb)], [(0, (24, 12, 48, 48))], side=side)
    with PatchPixels(manifest) as pixels:
        patch = pixels.read([0])[0]
    blocks = rgb[12:60, 24:72].reshape(side, factor, side, factor, 3).astype(float)
    assert np.abs(patch - blocks.mean(axis=(1, 3))).max() <= 0.5 + 1e-9


def test_a_level_is_used_only_where_the_box_fits_its_grid(tmp_path: Path) -> None:
    rgb = noise(512, 512, 6)
    image = tiled(tmp_path / "a.tif", rgb, steps=(4,))
    on_grid, off_grid = (64, 128, 128, 128), (66, 128, 128, 128)
    manifest = manifest_of([image], [(0, on_grid), (0, off_grid)], side=32)
    with PatchPixels(manifest) as pixels:
        got = pixels.read([0, 1])
    for patch, (x, y, w, h) in zip(got, (on_grid, off_grid), strict=True):
        want = rgb[y : y + h, x : x + w].reshape(32, 4, 32, 4, 3).astype(float).mean(axis=(1, 3))
        assert np.abs(patch - want).max() <= 1.0


@pytest.mark.parametrize(("width", "height"), [(1000, 1000), (1003, 997), (1500, 700)])
def test_a_whole_slide_is_made_small_from_its_levels(width: int, height: int, tmp_path: Path) -> None:
    y, x = np.mgrid[:height, :width]
    ramps = [x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)]
    rgb = np.stack(ramps, -1).astype(np.uint8)
    image = tiled(tmp_path / "a.tif", rgb, steps=(4, 8))
    manifest = manifest_of([image], [(0, (0, 0, width, height))], side=24)
    with PatchPixels(manifest) as pixels:
        got = pixels.read([0])[0]
    want = cv2.resize(rgb, (24, 24), interpolation=cv2.INTER_AREA)
    assert np.abs(got.astype(int) - want).max() <= 2


def test_a_large_window_is_averaged_in_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qupath_her2.patches.pixels.windows._STRIP_BYTES", 100_000)
    rgb = np.repeat(np.repeat(noise(20, 20, 3), 32, axis=0), 32, axis=1)
    manifest = manifest_of([tiled(tmp_path / "a.tif", rgb)], [(0, (0, 0, 640, 640))], side=20)
    with PatchPixels(manifest) as pixels:
        assert np.array_equal(pixels.read([0])[0], noise(20, 20, 3))
