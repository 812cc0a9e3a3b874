from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.detectors.intensity import intensity_range, scaled
from qupath_her2.cells.nuclei.detection import Tile


def tile(values: np.ndarray) -> Tile:
    return Tile(values.astype(np.uint8), None)  # type: ignore[arg-type]


def test_the_range_is_that_of_all_samples_together() -> None:
    dark, bright = np.full((10, 10, 3), 20), np.full((10, 10, 3), 220)
    assert intensity_range([tile(dark), tile(bright)], 0, 100) == (20, 220)
    ramp = np.arange(256).repeat(3).reshape(16, 16, 3)
    assert intensity_range([tile(ramp)], 10, 90) == pytest.approx(np.percentile(ramp, (10, 90)))


def test_a_flat_image_or_none_takes_the_full_range() -> None:
    assert intensity_range([], 1, 99) == (0, 255)
    assert intensity_range([tile(np.full((4, 4, 3), 9))], 1, 99) == (0, 255)


def test_limits_become_zero_and_one() -> None:
    rgb = np.array([[[20, 120, 220]]], np.uint8)
    assert scaled(rgb, (20, 220)).ravel().tolist() == pytest.approx([0, 0.5, 1])
