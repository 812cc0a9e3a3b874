"""Indicators of a slide: patch grid, pooling, and the score with its reason."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import ScoringError
from qupath_her2.project.exchange.score_files import read_score, score_json
from qupath_her2.records import Box, Refusal
from qupath_her2.scoring.indicators.masks import IndicatorSettings
from qupath_her2.scoring.indicators.patch import PatchIndicators
from qupath_her2.scoring.indicators.slide import (
    SlideIndicators,
    indicators_of_slide,
    patch_boxes,
    pool_patches,
    score_indicators,
)

SPEC = importlib.util.spec_from_file_location("drawing", Path(__file__).with_name("drawing.py"))
draw = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(draw)
HOW = IndicatorSettings()


def test_ratios_pool_over_cells_and_intensity_over_patches():
    crowded, sparse = PatchIndicators(0.4, 0.3, 90, 9, 0), PatchIndicators(0.0, 0.0, 10, 10, 5)
    slide = pool_patches([crowded, sparse])
    assert slide.values() == pytest.approx((0.2, 0.19, 0.05))
    assert (slide.n_patches, slide.n_cells) == (2, 100)


def test_without_cells_ratios_are_nan_and_no_patches_are_refused():
    slide = pool_patches([PatchIndicators(0.1, 0.1, 0, 0, 0)])
    assert math.isnan(slide.positive_ratio)
    with pytest.raises(ScoringError, match="No patches to pool"):
        pool_patches([])


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


def test_each_patch_of_a_slide_is_read_once():
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


def slide_of(intensity, positive, closed, n_cells=1000):
    return SlideIndicators(intensity, positive, closed, n_patches=20, n_cells=n_cells)


def test_a_scored_slide_explains_itself():
    score = score_indicators(slide_of(0.40, 0.33, 0.90), warnings=["control left out"])
    assert (score.status, score.score) == ("scored", "3+")
    assert score.reason == (
        "3+: mean staining intensity 0.400 over 20 patches fits 2+ or 3+; the cell ratios (33.0 % positive and "
        "90.0 % circumferential of 1,000 cells) decide [Che et al. 2023, Table 4 (CSCO breast 2021)]. "
        "Research use only."
    )
    assert "CSCO" in score.guideline
    assert "2+ by staining intensity alone" in score.tags
    assert score.warnings[0] == "control left out"
    assert read_score(score_json(score)) == score


def test_two_plus_asks_for_ish_and_contradicting_ratios_give_a_warning():
    score = score_indicators(slide_of(0.30, 0.0, 0.0))
    assert "is in the 2+ range, with 0.0 % positive and 0.0 % circumferential of 1,000 cells" in score.reason
    assert "ISH is needed." in score.reason
    assert "The cell ratios alone would give 0." in score.warnings


def test_a_table_that_does_not_apply_scores_nothing_unless_accepted():
    why = ["The ranges were never fitted here.", "The positive ratio lies outside."]
    score = score_indicators(slide_of(0.30, 0.9, 0.0), objections=why, warnings=["earlier"])
    assert (score.status, score.score, score.refusal_code) == ("not assessable", None, "ranges_not_fitted")
    assert score.reason.startswith(
        "Not assessable: The ranges were never fitted here. The positive ratio lies outside. Fit ranges"
    )
    # What was measured is shown without a score.
    assert "positive_ratio 0.900" in score.tags
    assert not [tag for tag in score.tags if "+" in tag]
    accepted = score_indicators(slide_of(0.30, 0.9, 0.0), objections=why, warnings=["earlier"], accept=True)
    assert accepted.score == "2+"
    assert accepted.warnings[:3] == (*why, "earlier")
    # Few cells are the cause of their wild ratios, and stay the reason.
    few = score_indicators(slide_of(0.30, 0.9, 0.0, n_cells=3), objections=why)
    assert few.refusal_code == "too_few_cells"


def test_slides_that_are_not_assessable():
    assert score_indicators(None).refusal_code == "no_tissue"
    few = score_indicators(slide_of(0.3, 0.2, 0.5, n_cells=20))
    assert (few.score, few.refusal_code) == (None, "too_few_cells")
    assert few.reason == "Not assessable: 20 cells are too few (at least 100 needed). Research use only."
    given = score_indicators(slide_of(0.3, 0.2, 0.5), refusal=Refusal("blurred", "the image is blurred."))
    assert given.reason == "Not assessable: the image is blurred. Research use only."
    assert read_score(score_json(given)) == given
