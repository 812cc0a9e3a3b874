"""Tissue outlines against the pixels of the mask they enclose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from shapely import box, unary_union
from shapely.geometry import Point

from qupath_her2.slides.tissue import Tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons


def test_outlines_cover_the_mask_in_level_0_pixels():
    mask = np.zeros((40, 60), bool)
    mask[5:25, 10:40] = True
    mask[10:15, 20:30] = False
    mask[30:35, 50:60] = True
    tissue = Tissue(mask, 16.0, (255, 255, 255), 60 * 16 - 7, 40 * 16)
    first, second = tissue_polygons(tissue)
    truth = box(160, 80, 640, 400).difference(box(320, 160, 480, 240))
    assert first.symmetric_difference(truth).area < 0.03 * truth.area
    assert len(first.interiors) == 1
    assert second.bounds == pytest.approx((800, 480, 953, 560), abs=1)
    assert tissue_polygons(tissue, min_area_px=second.area + 1) == [first]


def test_outlines_hold_every_mask_pixel_of_a_drawn_shape():
    rng = np.random.default_rng(0)
    mask = cv2.GaussianBlur(rng.random((80, 90)).astype(np.float32), (0, 0), 4) > 0.5
    polygons = tissue_polygons(Tissue(mask, 8.0, (255, 255, 255), 720, 640))
    assert all(p.is_valid for p in polygons)
    covered = unary_union(polygons)
    inside = [covered.contains(Point(8 * x + 4, 8 * y + 4)) for y in range(80) for x in range(90)]
    assert np.mean(np.array(inside).reshape(80, 90) == mask) > 0.995
    assert covered.area == pytest.approx(64 * mask.sum(), rel=0.02)
