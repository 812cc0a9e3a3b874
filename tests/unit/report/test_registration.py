"""Registration picture: the same area of both slides, with outlines in the same place on every panel."""

from __future__ import annotations

from uuid import UUID

import cv2
import numpy as np
import pytest
from shapely import box

from qupath_her2.records import Box, Region
from qupath_her2.report.registration import registration_picture
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.registration.record import Registration
from tests.helpers.drawn_sections import Anatomy, affine_px, laid, stained, write_png


@pytest.fixture
def pair(tmp_path):
    """One picture, and the same turned by 30° and mirrored, with the exact map between them."""
    rgb = stained(Anatomy.drawn(3, high=300, wide=360), "H&E", 3)
    truth = affine_px(30.0, rgb.shape, (420, 460), is_mirrored=True)
    turned = laid(rgb, truth, (420, 460))
    paths = write_png(tmp_path / "a.png", rgb), write_png(tmp_path / "b.png", turned)
    matrix = (*(float(v) for v in truth[:2, :2].ravel()), *(float(v) for v in truth[:2, 2]))
    one = Registration(matrix, (360, 300), (460, 420), 10, 10, 3, 8, 90, 90, 30, True, 0, 10)
    with open_slide(paths[0]) as fixed, open_slide(paths[1]) as moving:
        yield fixed, moving, one


def panels(picture: np.ndarray) -> list[np.ndarray]:
    wide = (picture.shape[1] - 12) // 3
    return [picture[:, start : start + wide] for start in (0, wide + 6, 2 * (wide + 6))]


def test_the_moving_slide_is_warped_onto_the_fixed_one(pair):
    left, middle, board = panels(registration_picture(*pair, max_side_px=360))
    inside = (slice(60, 240), slice(80, 280))
    assert left.shape == middle.shape == board.shape == (300, 360, 3)
    difference = np.abs(left[inside].astype(float) - middle[inside])
    unrelated = np.abs(left[inside].astype(float) - middle[inside][::-1])
    # Drawn twice through interpolation, the same place differs by its noise alone.
    assert difference.mean() < 0.35 * unrelated.mean()
    assert (np.equal(board, left) | np.equal(board, middle)).all()
    assert 0.3 < np.equal(board, middle)[inside].all(axis=-1).mean() < 0.9


def test_a_part_is_enlarged_and_outlines_are_in_the_same_place_on_all_panels(pair):
    region = Region(UUID(int=1), box(120, 110, 200, 170), "tumour", "Tumor")
    picture = registration_picture(*pair, [region], box=Box(100, 90, 120, 100), max_side_px=120)
    for panel in panels(picture):
        assert panel.shape == (100, 120, 3)
        reds = np.argwhere((panel == (200, 0, 0)).all(axis=-1))
        assert np.abs(reds.min(axis=0) - (20, 20)).max() <= 2
        assert np.abs(reds.max(axis=0) - (80, 100)).max() <= 2


def test_areas_outside_the_moving_slide_are_white(pair):
    fixed, moving, one = pair
    away = Registration(
        (*one.matrix[:4], 9000.0, 9000.0), *(getattr(one, n) for n in list(one.__dataclass_fields__)[1:])
    )
    _, middle, _ = panels(registration_picture(fixed, moving, away, max_side_px=200))
    assert (middle == 255).all()
    assert cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY).min() == 255
