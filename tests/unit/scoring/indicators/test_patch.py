"""Masks and indicators on drawings whose every cell is known."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.scoring.indicators.masks import (
    IndicatorSettings,
    brown_mask,
    circumferential_cells,
    extract_cells,
)
from qupath_her2.scoring.indicators.patch import indicators_of_patch

SPEC = importlib.util.spec_from_file_location("drawing", Path(__file__).with_name("drawing.py"))
draw = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(draw)
HOW = IndicatorSettings()


@pytest.mark.parametrize(
    ("colour", "is_brown"),
    [
        (draw.BROWN, True),
        ((235, 205, 185), False),  # too bright: background staining
        ((200, 170, 150), True),  # a faint membrane
        ((150, 90, 100), True),  # brown over blue: hue just below 0°
        (draw.BLUE, False),
        (draw.GLASS, False),
        ((60, 120, 60), False),
        ((130, 128, 126), False),  # grey, nearly no colour
    ],
)
def test_brown_by_hue_saturation_and_value(colour, is_brown):
    patch = np.full((20, 20, 3), colour, np.uint8)
    assert bool(brown_mask(patch, HOW).all()) is is_brown
    assert bool(brown_mask(patch, HOW).any()) is is_brown


def test_specks_are_dropped_and_thin_membranes_are_kept():
    patch = draw.glass(60)
    patch[5:7, 5:7] = draw.BROWN  # 4 px = 1 µm²
    patch[30, 10:50] = draw.BROWN  # a membrane one pixel wide
    mask = brown_mask(patch, HOW)
    assert mask.sum() == 40
    assert mask[30, 10:50].all()


def test_separate_and_touching_nuclei_are_counted():
    patch = draw.glass(200)
    for x, y in [(30, 30), (100, 40), (160, 30)]:
        draw.nucleus(patch, x, y)
    for x in (60, 74):
        draw.nucleus(patch, x, 140)
    nuclei, cells = extract_cells(patch, HOW)
    assert nuclei.max() == 5
    left, right = nuclei[140, 58], nuclei[140, 76]
    assert left != right
    assert left > 0 < right
    assert (cells[nuclei > 0] == nuclei[nuclei > 0]).all()


def test_a_cell_is_its_nucleus_grown_by_two_micrometres():
    patch = draw.glass(100)
    draw.nucleus(patch, 50, 50, radius=10)
    nuclei, cells = extract_cells(patch, HOW)
    radius = np.sqrt((nuclei > 0).sum() / np.pi)
    assert radius == pytest.approx(10, abs=1.5)
    assert np.sqrt((cells > 0).sum() / np.pi) == pytest.approx(radius + 4, abs=0.7)


def test_an_empty_patch_has_no_cell():
    nuclei, cells = extract_cells(draw.glass(64), HOW)
    assert not nuclei.any()
    assert not cells.any()


def contour_case(degrees, at=(50, 50)):
    patch = draw.glass(100)
    draw.nucleus(patch, *at)
    draw.ring(patch, *at, degrees=degrees)
    nuclei, _ = extract_cells(patch, HOW)
    assert nuclei.max() == 1
    return circumferential_cells(brown_mask(patch, HOW), nuclei, HOW).tolist()


@pytest.mark.parametrize(
    ("degrees", "closed"), [(360, True), (352, True), (300, False), (180, False), (0, False)]
)
def test_only_a_closed_contour_encloses(degrees, closed):
    assert contour_case(degrees) == [False, closed]


def test_a_contour_cut_by_the_edge_is_open():
    assert contour_case(360, at=(50, 10)) == [False, False]


def test_a_contour_around_many_cells_is_no_cell_membrane():
    patch = draw.glass(200)
    draw.nucleus(patch, 100, 100)
    draw.ring(patch, 100, 100, radius=70)
    nuclei, _ = extract_cells(patch, HOW)
    assert not circumferential_cells(brown_mask(patch, HOW), nuclei, HOW).any()


def test_indicators_of_a_drawn_patch():
    """Ten cells: four ringed, three half ringed, three bare; one more touches the edge and is left out."""
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


def test_a_trace_of_brown_is_no_intensity():
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


def test_turning_a_patch_changes_nothing_that_is_counted():
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


def test_strange_sizes_are_measured():
    patch = cv2.resize(draw.glass(64), (37, 91))
    assert indicators_of_patch(patch, HOW).n_cells == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"patch_px": 0},
        {"brown_value_max": 1.2},
        {"ring_area_um2": (400, 10)},
        {"pixel_size_um": float("nan")},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        IndicatorSettings(**wrong)
