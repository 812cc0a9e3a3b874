"""Masks on drawings whose every cell is known: brown, nuclei, cells, closed contours."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.scoring.indicators.masks import (
    IndicatorSettings,
    brown_mask,
    circumferential_cells,
    extract_cells,
)

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


def test_a_cell_is_its_nucleus_expanded_by_two_micrometres():
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


def test_a_contour_larger_than_a_cell_is_not_a_membrane():
    patch = draw.glass(200)
    draw.nucleus(patch, 100, 100)
    draw.ring(patch, 100, 100, radius=70)
    nuclei, _ = extract_cells(patch, HOW)
    assert not circumferential_cells(brown_mask(patch, HOW), nuclei, HOW).any()


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


def test_touching_nuclei_are_split_at_their_waist():
    patch = draw.glass(120)
    centres, radii = np.array([(44, 60), (62, 60)]), np.array([11, 9])
    for (x, y), radius in zip(centres.tolist(), radii.tolist(), strict=True):
        draw.nucleus(patch, x, y, radius=radius)
    nuclei, _ = extract_cells(patch, HOW)
    assert nuclei.max() == 2
    rows, columns = np.nonzero(nuclei)
    # The waist of two discs is where d^2 - r^2 is the same for both: their radical axis, a vertical line here.
    power = [
        (columns - x) ** 2 + (rows - y) ** 2 - r**2
        for (x, y), r in zip(centres.tolist(), radii.tolist(), strict=True)
    ]
    is_left = power[0] < power[1]
    expected = np.where(is_left, nuclei[60, 44], nuclei[60, 62])
    waist_x = columns[is_left].max()
    away = np.abs(columns - waist_x) > 2
    assert (nuclei[rows, columns] == expected)[away].all()
