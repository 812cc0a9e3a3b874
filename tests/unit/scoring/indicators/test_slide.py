"""Pooling, boxes, heat map, tissue, control pieces, and the record of a score."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from qupath_her2.errors import ScoringError, SettingsError
from qupath_her2.project.exchange.score_files import read_score, score_json
from qupath_her2.records import Box, Refusal
from qupath_her2.scoring.indicators.heat_map import heat_map, heat_map_png
from qupath_her2.scoring.indicators.masks import IndicatorSettings
from qupath_her2.scoring.indicators.patch import PatchIndicators
from qupath_her2.scoring.indicators.slide import (
    SlideIndicators,
    indicators_of_slide,
    patch_boxes,
    pool,
    score_indicators,
)
from qupath_her2.scoring.indicators.tissue import ControlSettings, detached_pieces, measured_area, tissue_mask

SPEC = importlib.util.spec_from_file_location("drawing", Path(__file__).with_name("drawing.py"))
draw = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(draw)
HOW = IndicatorSettings()


def test_ratios_pool_over_cells_and_intensity_over_patches():
    crowded, sparse = PatchIndicators(0.4, 0.3, 90, 9, 0), PatchIndicators(0.0, 0.0, 10, 10, 5)
    slide = pool([crowded, sparse])
    assert slide.values() == pytest.approx((0.2, 0.19, 0.05))
    assert (slide.n_patches, slide.n_cells) == (2, 100)


def test_no_cells_no_ratio_and_no_patch_no_slide():
    slide = pool([PatchIndicators(0.1, 0.1, 0, 0, 0)])
    assert math.isnan(slide.positive_ratio)
    with pytest.raises(ScoringError, match="No patch"):
        pool([])


@pytest.mark.parametrize(("um", "side"), [(0.5, 512), (0.25, 1024), (0.5036, 508), (1.0, 256)])
def test_boxes_cover_256_micrometres_and_drop_the_rest(um, side):
    boxes = patch_boxes(3 * side + 5, 2 * side + side - 1, um, HOW)
    assert len(boxes) == 6
    assert boxes[0] == Box(0, 0, side, side)
    assert boxes[-1] == Box(2 * side, side, side, side)
    assert patch_boxes(side - 1, side, um, HOW) == ()


def test_boxes_follow_the_mask():
    mask = np.zeros((20, 40), bool)
    mask[:5, :10] = True  # a quarter of the left patch's height, half of its width = 1/8
    assert patch_boxes(1024, 512, 0.5, HOW, mask) == ()
    mask[:10, :10] = True  # exactly one quarter
    assert patch_boxes(1024, 512, 0.5, HOW, mask) == (Box(0, 0, 512, 512),)


def test_a_slide_is_read_once_a_patch():
    picture = draw.glass(512, 1024)
    for x in (100, 300, 700):
        draw.nucleus(picture, x, 200)
        draw.ring(picture, x, 200)
    asked = []

    def read(box):
        asked.append(box)
        return picture[box.y : box.y + box.height, box.x : box.x + box.width]

    boxes = patch_boxes(1024, 512, 0.5, HOW)
    slide, patches = indicators_of_slide(read, boxes, HOW)
    assert asked == list(boxes)
    assert [patch.n_cells for patch in patches] == [2, 1]
    assert slide.circumferential_ratio == 1


def test_heat_map_places_values_and_leaves_gaps_empty():
    boxes = [Box(0, 0, 512, 512), Box(1024, 512, 512, 512)]
    grid = heat_map(boxes, [0.2, 0.6])
    assert grid.shape == (2, 3)
    assert grid[0, 0] == np.float32(0.2)
    assert grid[1, 2] == np.float32(0.6)
    assert np.isnan(grid).sum() == 4
    picture = cv2.imdecode(np.frombuffer(heat_map_png(grid, 8, top=0.6), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (16, 24, 4)
    assert (picture[..., 3] > 0).sum() == 2 * 64
    assert picture[12, 20, 2] > picture[12, 20, 0]  # the top of the scale is red
    with pytest.raises(ScoringError):
        heat_map(boxes, [0.2])
    with pytest.raises(ScoringError):
        heat_map_png(np.zeros((0, 0), np.float32))


def slide_picture(main, small, main_side=400, small_side=120, gap=100):
    """Tinted glass with two squares of tissue, 10 µm a pixel."""
    picture = np.full((600, 1000, 3), (228, 226, 238), np.uint8)
    picture[100 : 100 + main_side, 50 : 50 + main_side] = main
    x = 50 + main_side + gap
    picture[100 : 100 + small_side, x : x + small_side] = small
    return picture


PALE_BLUE, PINK = (200, 200, 222), (215, 195, 205)


@pytest.mark.parametrize("colours", [(PALE_BLUE, draw.BROWN), (draw.BROWN, PALE_BLUE), (PALE_BLUE, PINK)])
def test_tissue_is_found_pale_or_brown_on_tinted_glass(colours):
    picture = slide_picture(*colours)
    truth = (picture != picture[0, 0]).any(axis=2)
    mask = tissue_mask(picture)
    assert (mask & truth).sum() >= 0.99 * truth.sum()
    assert (mask & ~truth).sum() <= 0.01 * truth.sum()


def test_blank_glass_is_no_tissue():
    noise = np.random.default_rng(0).normal(235, 1.5, (200, 200, 3)).round().astype(np.uint8)
    assert tissue_mask(noise).mean() < 0.01
    labels, pieces = detached_pieces(noise, 10.0)
    assert pieces == ()
    assert not labels.any()


def test_a_small_brown_detached_piece_is_a_control():
    labels, pieces = detached_pieces(slide_picture(PALE_BLUE, draw.BROWN), 10.0)
    assert [piece.is_control for piece in pieces] == [False, True]
    assert pieces[0].area_mm2 == pytest.approx(16, rel=0.02)
    assert pieces[1].area_mm2 == pytest.approx(1.44, rel=0.05)
    assert pieces[1].brown_share == pytest.approx(1, abs=0.05)
    assert labels[160, 610] == pieces[1].label
    assert labels[300, 250] == pieces[0].label


@pytest.mark.parametrize(
    "picture",
    [
        slide_picture(draw.BROWN, draw.BROWN),  # as brown as the main piece
        slide_picture(PALE_BLUE, PALE_BLUE),  # not stained
        slide_picture(PALE_BLUE, draw.BROWN, small_side=300),  # too large for a control
        slide_picture(PALE_BLUE, draw.BROWN, small_side=25),  # debris, not even a piece
    ],
)
def test_what_is_no_control(picture):
    assert not any(piece.is_control for piece in detached_pieces(picture, 10.0)[1])


def test_an_attached_brown_part_belongs_to_the_tissue():
    pieces = detached_pieces(slide_picture(PALE_BLUE, draw.BROWN, gap=20), 10.0)[1]
    assert len(pieces) == 1
    assert not pieces[0].is_control


def test_controls_are_left_out_loudly_unless_told_otherwise():
    picture = slide_picture(PALE_BLUE, draw.BROWN)
    mask, warnings = measured_area(picture, 10.0)
    assert not mask[160, 610]
    assert mask[300, 250]
    assert len(warnings) == 1
    assert "1.44 mm²" in warnings[0]
    assert "left out" in warnings[0]
    kept, warnings = measured_area(picture, 10.0, keep_controls=True)
    assert kept[160, 610]
    assert kept[300, 250]
    assert "as asked" in warnings[0]
    assert measured_area(slide_picture(PALE_BLUE, PALE_BLUE), 10.0)[1] == ()


def test_control_settings_are_checked():
    with pytest.raises(SettingsError, match="gap_um is 0"):
        ControlSettings(gap_um=0)


def slide_of(intensity, positive, closed, n_cells=1000):
    return SlideIndicators(intensity, positive, closed, n_patches=20, n_cells=n_cells)


def test_a_scored_slide_explains_itself():
    score = score_indicators(slide_of(0.40, 0.33, 0.90), warnings=["control left out"])
    assert (score.status, score.score) == ("scored", "3+")
    assert "fits 2+ or 3+" in score.reason
    assert "33.0 % positive and 90.0 % circumferential of 1,000 cells decide" in score.reason
    assert score.reason.endswith("Research use only.")
    assert "CSCO" in score.guideline
    assert "2+ by staining intensity alone" in score.tags
    assert score.warnings[0] == "control left out"
    assert read_score(score_json(score)) == score


def test_two_plus_asks_for_ish_and_contradiction_is_told():
    score = score_indicators(slide_of(0.30, 0.0, 0.0))
    assert "ISH is needed." in score.reason
    assert "The cell ratios alone would give 0." in score.warnings


def test_what_is_not_assessable():
    assert score_indicators(None).refusal_code == "no_tissue"
    few = score_indicators(slide_of(0.3, 0.2, 0.5, n_cells=20))
    assert (few.score, few.refusal_code) == (None, "too_few_cells")
    assert few.reason == "Not assessable: 20 cells are too few (at least 100 needed). Research use only."
    given = score_indicators(slide_of(0.3, 0.2, 0.5), refusal=Refusal("blurred", "the image is blurred."))
    assert given.reason == "Not assessable: the image is blurred. Research use only."
    assert read_score(score_json(given)) == given
