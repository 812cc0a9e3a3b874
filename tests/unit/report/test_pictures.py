from __future__ import annotations

from uuid import UUID

import cv2
import numpy as np
import pytest
import shapely

from qupath_her2.errors import OutputError
from qupath_her2.records import Box, Region
from qupath_her2.report import pictures
from qupath_her2.slides.readers.slide import Slide


def decode(data: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_overview_is_the_whole_image_within_the_limit(ramp_slide: Slide) -> None:
    picture, frame = pictures.read_overview(ramp_slide, 200)
    assert max(picture.shape[:2]) <= 200
    assert (frame.x, frame.y) == (0, 0)
    row, column = 60, 150
    x = (column + 0.5) / frame.scale
    assert abs(int(picture[row, column, 0]) - x / 4) < 2


def test_overview_in_bands_equals_one_read(ramp_slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = pictures.read_overview(ramp_slide, 300)
    monkeypatch.setattr(pictures, "_BAND_PX", 1)
    banded, _ = pictures.read_overview(ramp_slide, 300)
    assert np.array_equal(whole, banded)


def test_overlay_shows_the_tumour_regions_with_a_margin(ramp_slide: Slide, disc_table) -> None:
    region = Region(UUID(int=1), shapely.box(400, 300, 600, 400), "tumour")
    other = Region(UUID(int=2), shapely.box(0, 0, 50, 50), "ignore")
    table = disc_table([(500, 350)], [2])
    picture = pictures.draw_overlay(ramp_slide, table, [region, other])
    assert picture.shape[:2] == (116, 216)
    picture = pictures.draw_overlay(ramp_slide, table, [])
    assert picture.shape[:2] == (800, 1000)


def test_overlay_near_the_border_stays_inside(ramp_slide: Slide, disc_table) -> None:
    region = Region(UUID(int=1), shapely.box(0, 0, 1000, 800), "tumour")
    assert pictures.draw_overlay(ramp_slide, disc_table([], []), [region]).shape[:2] == (800, 1000)


def test_typical_cells_are_nearest_to_the_median(disc_table) -> None:
    table = disc_table([(10.0 * i, 50.0) for i in range(15)], [1] * 15)
    # Measurements rise with the index, so the median cell is the middle one.
    assert pictures.typical_cells(table, 1, 3).tolist() == [7, 6, 8]
    assert pictures.typical_cells(table, 2, 3).tolist() == []


def test_typical_cells_without_measurements_come_last(disc_table) -> None:
    table = disc_table([(10.0 * i, 50.0) for i in range(15)], [1] * 15)
    table.measurements[7] = np.nan
    assert 7 not in pictures.typical_cells(table, 1, 14).tolist()


def test_strips_hold_a_crop_of_the_very_cell(ramp_slide: Slide, disc_table) -> None:
    table = disc_table([(400.0, 200.0), (800.0, 600.0)], [0, 3])
    strips = pictures.typical_strips(ramp_slide, table, 0.5, n=4, side_px=96)
    assert sorted(strips) == ["Tumor: 3+", "Tumor: Negative"]
    strip = decode(strips["Tumor: 3+"])
    assert strip.shape == (2 * 96 + 4, 4 * 100 - 4, 3)
    centre = strip[48, 48].astype(int)
    assert abs(centre[0] - 200) < 8
    assert abs(centre[1] - 150) < 8
    assert (strip[:, 110:] > 250).all(), "places without a cell stay white"


def test_jpeg_round_trip_and_shrinking() -> None:
    rgb = np.full((300, 500, 3), (200, 50, 20), np.uint8)
    data = pictures.encode_jpeg(rgb)
    assert np.abs(decode(data).astype(int) - rgb).max() < 6
    small = decode(pictures.shrink_jpeg(data, 100))
    assert small.shape[:2] == (60, 100)
    assert pictures.shrink_jpeg(data, 500) == data
    with pytest.raises(OutputError, match="not a valid JPEG"):
        pictures.shrink_jpeg(b"no picture", 100)


def test_box_of_the_image_part(ramp_slide: Slide) -> None:
    picture, frame = pictures.read_overview(ramp_slide, 1000, Box(100, 40, 200, 80))
    assert picture.shape[:2] == (80, 200)
    assert (frame.x, frame.y, frame.scale) == (100, 40, 1.0)
    assert picture[0, 0].tolist() == [25, 10, 200]
