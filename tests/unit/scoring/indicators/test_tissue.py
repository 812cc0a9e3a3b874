"""Tissue and control pieces on drawn slides."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.scoring.indicators.tissue import ControlSettings, detached_pieces, measured_area, tissue_mask

SPEC = importlib.util.spec_from_file_location("drawing", Path(__file__).with_name("drawing.py"))
draw = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(draw)


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
def test_pieces_that_are_not_controls(picture):
    assert not any(piece.is_control for piece in detached_pieces(picture, 10.0)[1])


def test_an_attached_brown_part_belongs_to_the_tissue():
    pieces = detached_pieces(slide_picture(PALE_BLUE, draw.BROWN, gap=20), 10.0)[1]
    assert len(pieces) == 1
    assert not pieces[0].is_control


def test_controls_are_excluded_with_a_warning_unless_kept():
    picture = slide_picture(PALE_BLUE, draw.BROWN)
    mask, warnings = measured_area(picture, 10.0)
    assert not mask[160, 610]
    assert mask[300, 250]
    assert warnings == (
        "A detached piece of tissue (1.44 mm², 100 % brown) looks like control tissue: excluded; "
        "pass --keep-controls to include it.",
    )
    kept, warnings = measured_area(picture, 10.0, keep_controls=True)
    assert kept[160, 610]
    assert kept[300, 250]
    assert warnings[0].endswith("looks like control tissue: included as requested.")
    assert measured_area(slide_picture(PALE_BLUE, PALE_BLUE), 10.0)[1] == ()


def test_control_settings_are_checked():
    with pytest.raises(SettingsError, match="gap_um is 0"):
        ControlSettings(gap_um=0)
