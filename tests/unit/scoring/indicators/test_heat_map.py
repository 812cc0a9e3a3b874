"""Heat maps: values on the grid of their patches, colours and transparency of the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from qupath_her2.errors import ScoringError
from qupath_her2.records import Box
from qupath_her2.scoring.indicators.heat_map import heat_map, heat_map_png


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


def test_opacity_follows_the_value_where_the_slide_must_show_through():
    grid = np.array([[0.0, 0.5, 1.0]], np.float32)
    picture = cv2.imdecode(
        np.frombuffer(heat_map_png(grid, 1, opacity_by_value=True), np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert picture[0, :, 3].tolist() == [0, 127, 255]
