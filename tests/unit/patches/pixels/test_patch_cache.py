from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from qupath_her2.errors import PatchReadError
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.patches.pixels.patch_cache import PatchCache
from qupath_her2.patches.pixels.patch_pixels import PatchPixels

Make = Callable[..., PatchManifest]


def test_a_cached_patch_needs_no_file(two_images: Make) -> None:
    manifest = two_images([(0, (0, 0, 16, 16)), (0, (16, 0, 16, 16))])
    with PatchPixels(manifest, open_bytes=1, cache_bytes=16 * 16 * 3) as pixels:
        first = pixels.read([0])
        pixels.close()
        manifest.images[0].path.unlink()
        assert np.array_equal(pixels.read([0]), first)
        with pytest.raises(PatchReadError):
            pixels.read([1])


def test_the_least_recently_used_patch_is_dropped_first() -> None:
    patches = [np.full((4, 4, 3), value, np.uint8) for value in range(3)]
    cache = PatchCache(2 * patches[0].nbytes)
    out = np.empty((4, 4, 3), np.uint8)
    cache.keep(0, patches[0])
    cache.keep(1, patches[1])
    assert cache.copy(0, out)
    cache.keep(2, patches[2])
    assert [cache.copy(row, out) for row in range(3)] == [True, False, True]
    assert (out == 2).all()


def test_the_cache_keeps_copies_and_nothing_larger_than_itself() -> None:
    cache = PatchCache(48)
    patch = np.zeros((4, 4, 3), np.uint8)
    cache.keep(0, patch)
    patch[:] = 9
    out = np.ones((4, 4, 3), np.uint8)
    assert cache.copy(0, out)
    assert (out == 0).all()
    cache.keep(1, np.zeros((5, 4, 3), np.uint8))
    assert not cache.copy(1, np.empty((5, 4, 3), np.uint8))
    off = PatchCache(0)
    off.keep(0, patch)
    assert not off.copy(0, out)
