from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import ImageReadError
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.patches.pixels.slide_pool import SlidePool
from tests.unit.patches.conftest import image_of, manifest_of, noise


def test_open_slides_stay_within_their_bytes(tmp_path: Path) -> None:
    images = [image_of(tmp_path / f"{i}.png", noise(64, 64, i)) for i in range(5)]
    manifest = manifest_of(images, [(i, (0, 0, 16, 16)) for i in range(5)])
    with PatchPixels(manifest, open_bytes=2 * 64 * 64 * 3) as pixels:
        pixels.read(range(5))
        assert list(pixels._slides._entries) == [3, 4]


def test_a_retired_slide_serves_its_current_users_and_is_opened_again(tmp_path: Path) -> None:
    pool = SlidePool([image_of(tmp_path / "a.png", noise(32, 32, 1))], 1 << 20)
    with pool.lease(0) as first:
        pool.retire(0, first)
        with pool.lease(0) as second:
            assert second is not first
        assert np.array_equal(first.read(0, 0, 8, 8, 0), noise(32, 32, 1)[:8, :8])
    with pool.lease(0) as third:
        assert third is second
    pool.close()


def test_an_image_that_cannot_be_opened_is_tried_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = image_of(path, noise(32, 32, 1))
    good = path.read_bytes()
    path.write_bytes(b"no image")
    pool = SlidePool([image], 1 << 20)
    for _ in range(2):
        with pytest.raises(ImageReadError, match=r"a\.png"), pool.lease(0):
            pass
        path.write_bytes(good)
    slide = pool.open_private(0)
    assert (slide.width, slide.height) == (32, 32)
    slide.close()


def test_a_forgotten_slide_serves_its_current_user_and_is_closed_after_it(tmp_path: Path) -> None:
    pool = SlidePool([image_of(tmp_path / "a.png", noise(32, 32, 1))], 1 << 20)
    pool.forget(0)
    with pool.lease(0) as slide:
        pool.forget(0)
        assert np.array_equal(slide.read(0, 0, 8, 8, 0), noise(32, 32, 1)[:8, :8])
    with pytest.raises(ImageReadError, match="closed"):
        slide.read(0, 0, 8, 8, 0)
    with pool.lease(0) as again:
        assert again is not slide
    pool.forget(0)
    with pytest.raises(ImageReadError, match="closed"):
        again.read(0, 0, 8, 8, 0)
