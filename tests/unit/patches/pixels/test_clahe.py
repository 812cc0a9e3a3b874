from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.patches.pixels.clahe import ClaheSettings, apply_clahe
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from tests.unit.patches.conftest import noise

Make = Callable[..., PatchManifest]


def test_clahe_changes_lightness_not_colour(two_images: Make) -> None:
    flat = np.full((32, 32, 3), (150, 110, 100), np.uint8)
    flat[:, 16:] = (140, 100, 90)
    out = apply_clahe(flat, ClaheSettings(clip_limit=4.0, tiles=1))
    before, after = (cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(int) for rgb in (flat, out))
    assert np.abs(after[..., 0] - before[..., 0]).max() > 3
    assert np.abs(after[..., 1:] - before[..., 1:]).max() <= 3
    rows = [(0, (0, 0, 16, 16))]
    with PatchPixels(two_images(rows, settings={"clahe": {"clip_limit": 2.0, "tiles": 4}})) as pixels:
        got = pixels.read([0])[0]
    want = apply_clahe(np.ascontiguousarray(noise(96, 64, 1)[:16, :16]), ClaheSettings(2.0, 4))
    assert np.array_equal(got, want)


@pytest.mark.parametrize("bad", [{"clip_limit": 0.0}, {"tiles": 0}])
def test_clahe_settings_that_do_nothing_are_refused(bad: dict) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(bad))} is {next(iter(bad.values()))}; it must be"):
        ClaheSettings(**bad)
