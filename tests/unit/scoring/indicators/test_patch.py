"""Indicators of patches on drawings whose every cell is known."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from qupath_her2.scoring.indicators.masks import IndicatorSettings
from qupath_her2.scoring.indicators.patch import indicators_of_patch

SPEC = importlib.util.spec_from_file_location("drawing", Path(__file__).with_name("drawing.py"))
draw = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(draw)
HOW = IndicatorSettings()


def test_indicators_of_a_drawn_patch():
    """Ten cells: four enclosed, three half enclosed, three bare; an eleventh touches the edge and is not counted."""
    patch = draw.glass(512)
    places = [(60 + 90 * (k % 5), 80 + 150 * (k // 5)) for k in range(10)]
    for number, (x, y) in enumerate(places):
        draw.nucleus(patch, x, y)
        if number < 7:
            draw.ring(patch, x, y, degrees=360 if number < 4 else 180)
    draw.nucleus(patch, 300, 2)
    found = indicators_of_patch(patch, HOW)
    assert (found.n_cells, found.n_positive, found.n_circumferential) == (10, 7, 4)
    # The drawn brown is flat, so its mean depth is its own.
    assert found.intensity == pytest.approx(draw.depth(draw.BROWN), abs=0.005)
    assert found.brown_share == pytest.approx((patch == draw.BROWN).all(axis=2).mean(), abs=1e-9)


def test_a_trace_of_brown_has_no_intensity():
    patch = draw.glass(512)
    patch[10:46, 10:46] = draw.BROWN  # 1,296 px of 262,144 = 0.49 %
    assert indicators_of_patch(patch, HOW).intensity == 0
    patch[10:47, 10:47] = draw.BROWN  # 0.52 %
    assert indicators_of_patch(patch, HOW).intensity == pytest.approx(draw.depth(draw.BROWN), abs=0.003)


def test_deeper_brown_is_more_intense():
    depths = []
    for factor in (1.3, 1.0, 0.6):
        patch = draw.glass(128)
        patch[20:80, 20:80] = np.clip(np.array(draw.BROWN) * factor, 0, 255).astype(np.uint8)
        depths.append(indicators_of_patch(patch, HOW).intensity)
    assert depths == sorted(depths)
    assert depths[0] < depths[1] < depths[2] < 1


def test_counts_do_not_change_when_a_patch_is_rotated_or_flipped():
    rng = np.random.default_rng(3)
    patch = draw.glass(256)
    for x, y in [(50, 50), (120, 60), (190, 70), (60, 160), (150, 180)]:
        draw.nucleus(patch, x, y, radius=int(rng.integers(6, 10)))
        draw.ring(patch, x, y, degrees=360)
    whole = indicators_of_patch(patch, HOW)
    for turned in (np.rot90(patch), patch[::-1], patch[:, ::-1]):
        again = indicators_of_patch(np.ascontiguousarray(turned), HOW)
        assert (again.n_cells, again.n_positive, again.n_circumferential) == (
            whole.n_cells, whole.n_positive, whole.n_circumferential,
        )  # fmt: skip
        assert again.intensity == pytest.approx(whole.intensity, abs=1e-6)


def test_patches_of_any_size_are_measured():
    patch = cv2.resize(draw.glass(64), (37, 91))
    assert indicators_of_patch(patch, HOW).n_cells == 0
