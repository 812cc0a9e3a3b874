"""The tumour area of patches with known probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.scoring.indicators.tumour import TumourSettings, tumour_area


def lattice(columns: int, rows: int, side: int) -> np.ndarray:
    return np.array([(x * side, y * side, side, side) for y in range(rows) for x in range(columns)], np.int32)


def test_the_area_is_that_of_the_patches_above_the_threshold() -> None:
    boxes = lattice(10, 8, 100)
    probability = np.where((boxes[:, 0] >= 500) & (boxes[:, 1] < 400), 0.7, 0.3).astype(np.float32)
    probability[9] = np.nan
    mask = tumour_area(boxes, probability, (80, 100), 0.1, 1.0, TumourSettings(area_mm2_min=0.0))
    expected = np.zeros((80, 100), bool)
    expected[:40, 50:] = True
    expected[:10, 90:] = False
    np.testing.assert_array_equal(mask, expected)


def test_areas_below_the_minimum_are_not_tumour() -> None:
    # Patches of 0.1 mm: three that touch, one of them by its corner alone, are 0.03 mm²; one apart is 0.01 mm².
    boxes = lattice(8, 8, 200)
    probability = np.zeros(64, np.float32)
    for x, y in ((0, 0), (1, 0), (2, 1), (6, 6)):
        probability[8 * y + x] = 0.9
    for least, patches in ((0.0, 4), (0.02, 3), (0.031, 0)):
        mask = tumour_area(boxes, probability, (160, 160), 0.1, 0.5, TumourSettings(area_mm2_min=least))
        assert mask.sum() == patches * 20 * 20


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"threshold": 1.0}, {"area_mm2_min": -1.0}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} is .* it must be"):
        TumourSettings(**wrong)
