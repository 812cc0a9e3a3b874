from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import PatchReadError
from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels, reading_order
from tests.unit.patches.conftest import image_of, manifest_of, noise, tiled

Make = Callable[..., PatchManifest]


def test_patches_are_the_images_own_pixels_in_the_order_asked_for(two_images: Make) -> None:
    rows = [(0, (0, 0, 16, 16)), (1, (48, 80, 16, 16)), (0, (80, 48, 16, 16)), (1, (5, 7, 16, 16))]
    manifest = two_images(rows)
    whole = [noise(96, 64, 1), noise(64, 96, 2)]
    order = [3, 0, 2, 1, 0]
    with PatchPixels(manifest) as pixels:
        got = pixels.read(order)
    assert got.dtype == np.uint8
    assert got.shape == (5, 16, 16, 3)
    for patch, row in zip(got, order, strict=True):
        image, (x, y, w, h) = rows[row]
        assert np.array_equal(patch, whole[image][y : y + h, x : x + w])


def test_no_rows_no_patches(two_images: Make) -> None:
    with PatchPixels(two_images([(0, (0, 0, 16, 16))])) as pixels:
        assert pixels.read([]).shape == (0, 16, 16, 3)


def test_beyond_the_edge_is_white(two_images: Make) -> None:
    manifest = two_images([(0, (88, -4, 16, 16))])
    with PatchPixels(manifest) as pixels:
        patch = pixels.read([0])[0]
    assert (patch[:4] == 255).all()
    assert (patch[:, 8:] == 255).all()
    assert np.array_equal(patch[4:, :8], noise(96, 64, 1)[:12, 88:])


def test_a_patch_looks_the_same_alone_and_among_its_neighbours(tmp_path: Path) -> None:
    rgb = noise(400, 300, 5)
    image = tiled(tmp_path / "a.tif", rgb)
    boxes = [(x, y, 50, 50) for y in range(3, 250, 50) for x in range(7, 350, 50)]
    manifest = manifest_of([image], [(0, box) for box in boxes], side=32)
    with PatchPixels(manifest) as pixels:
        together = pixels.read(range(len(boxes)))
        alone = np.concatenate([pixels.read([row]) for row in range(len(boxes))])
    assert np.array_equal(together, alone)
    want = cv2.resize(rgb[3:53, 7:57], (32, 32), interpolation=cv2.INTER_AREA)
    assert np.array_equal(together[0], want)


WHOLE = noise(90, 70, 11)


@settings(max_examples=60, deadline=None)
@given(
    boxes=st.lists(
        st.tuples(st.integers(-60, 90), st.integers(-60, 70), st.integers(1, 80), st.integers(1, 80)),
        min_size=1,
        max_size=6,
    ),
    side=st.integers(1, 40),
    kind=st.sampled_from(["png", "tif"]),
)
def test_any_box_is_the_part_of_the_image_on_white(
    boxes: list, side: int, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("b")
    image = image_of(folder / "a.png", WHOLE) if kind == "png" else tiled(folder / "a.tif", WHOLE, 32)
    with PatchPixels(manifest_of([image], [(0, box) for box in boxes], side=side)) as pixels:
        got = pixels.read(range(len(boxes)))
    canvas = np.full((70 + 240, 90 + 240, 3), 255, np.uint8)
    canvas[120:190, 120:210] = WHOLE
    for patch, (x, y, w, h) in zip(got, boxes, strict=True):
        part = np.ascontiguousarray(canvas[120 + y : 120 + y + h, 120 + x : 120 + x + w])
        way = cv2.INTER_AREA if min(w, h) >= side else cv2.INTER_LINEAR
        want = part if (w, h) == (side, side) else cv2.resize(part, (side, side), interpolation=way)
        assert np.array_equal(patch, want)


def test_crops_and_rotations_are_applied(tmp_path: Path) -> None:
    rgb = noise(96, 64, 1)
    image = image_of(tmp_path / "a.png", rgb)
    turned = dataclasses.replace(image, width=32, height=48, chain=({"crop": [8, 4, 48, 32]}, {"rotate": 90}))
    with PatchPixels(manifest_of([turned], [(0, (2, 3, 16, 16))])) as pixels:
        patch = pixels.read([0])[0]
    shown = np.rot90(rgb[4:36, 8:56], k=-1)
    assert np.array_equal(patch, shown[3:19, 2:18])


def test_many_threads_read_the_same_as_one(tmp_path: Path) -> None:
    images = [image_of(tmp_path / f"{i}.png", noise(80, 80, i)) for i in range(6)]
    rows = [(i % 6, (3 * (i // 6), 2 * (i // 6), 16, 16)) for i in range(120)]
    manifest = manifest_of(images, rows)
    with PatchPixels(manifest) as pixels:
        want = pixels.read(range(120))
    # Room for one image only: slides are closed and opened while others read.
    with PatchPixels(manifest, open_bytes=1) as pixels, ThreadPoolExecutor(6) as pool:
        batches = [np.random.default_rng(seed).permutation(120)[:40] for seed in range(12)]
        for batch, got in zip(batches, pool.map(pixels.read, batches), strict=True):
            assert np.array_equal(got, want[batch])


def test_a_missing_image_is_named_and_the_others_are_read(two_images: Make) -> None:
    manifest = two_images([(0, (0, 0, 16, 16)), (1, (0, 0, 16, 16)), (0, (16, 0, 16, 16))])
    manifest.images[1].path.unlink()
    with PatchPixels(manifest) as pixels:
        with pytest.raises(PatchReadError, match=r"Patch 1 of image 'b.png' at x 0, y 0 \(16 × 16 px\)"):
            pixels.read([0, 1, 2])
        got, failed = pixels.read_readable([0, 1, 2])
    assert [error.row for error in failed] == [1]
    assert np.array_equal(got[2], noise(96, 64, 1)[:16, 16:32])
    assert (got[1] == 255).all()


def test_a_damaged_tile_spoils_its_own_patches_only(tmp_path: Path) -> None:
    rgb = noise(256, 256, 8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, tile=(64, 64), photometric="rgb", compression="zlib", metadata=None)
    image = ManifestImage("a", "a.tif", path, None, 0.25, 256, 256)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[5]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = b"\0" * 40
    path.write_bytes(bytes(data))
    boxes = [(x, y, 64, 64) for y in range(0, 256, 64) for x in range(0, 256, 64)]
    manifest = manifest_of([image], [(0, box) for box in boxes], side=64)
    with PatchPixels(manifest) as pixels:
        got, failed = pixels.read_readable(range(16))
    assert [error.row for error in failed] == [5]
    assert "x 64, y 64" in str(failed[0])
    for row, (x, y, w, h) in enumerate(boxes):
        if row != 5:
            assert np.array_equal(got[row], rgb[y : y + h, x : x + w])


def test_reading_order_holds_every_row_once_and_neighbours_together() -> None:
    images = [ManifestImage(str(i), str(i), Path(str(i)), None, 0.25, 9000, 9000) for i in range(2)]
    boxes = [(i, (x, y, 512, 512)) for i in (1, 0) for y in range(0, 8192, 512) for x in range(0, 8192, 512)]
    manifest = manifest_of(images, boxes, side=512)
    order = reading_order(manifest)
    assert sorted(order.tolist()) == list(range(512))
    assert (np.diff(manifest.image[order]) >= 0).all()
    first = manifest.box_xywh[order[:16]]
    assert first[:, :2].max() < 2048
