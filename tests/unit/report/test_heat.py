"""Heat maps: values at the positions of the patches, the pyramid as tifffile reads it, and blended overlays."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import OutputError
from qupath_her2.provenance import object_uuids
from qupath_her2.records import PatchTable
from qupath_her2.report.heat import (
    Overlay,
    blend_overlay,
    heat_planes,
    heat_pyramid,
    heat_step,
    map_slice,
    overlays_json,
    read_overlays,
)
from qupath_her2.scoring.indicators.heat_map import heat_map_png

NAMES = ("HER2 patch low", "HER2 patch high")


def patches(boxes: list[tuple[int, int, int, int]], high: list[float]) -> PatchTable:
    probability = np.array([[1 - value, value] for value in high], np.float32)
    return PatchTable(
        uuid=object_uuids("0" * 64, len(boxes)),
        box_xywh=np.array(boxes, np.int32),
        region=np.zeros(len(boxes), np.int32),
        probabilities=probability,
        patch_class=probability.argmax(1).astype(np.uint8),
        class_names=NAMES,
    )


def test_values_stand_where_the_patches_lie() -> None:
    heat = heat_planes(patches([(0, 0, 64, 64), (128, 64, 64, 64)], [0.25, 1.0]), 200, 130, most_px=4)
    assert heat.step == 16
    assert heat.values.shape == (2, 9, 13)
    high = np.full((9, 13), np.nan, np.float32)
    high[:4, :4] = 0.25
    high[4:8, 8:12] = 1.0
    np.testing.assert_array_equal(heat.values[1], high)
    np.testing.assert_array_equal(heat.values[0], 1 - high)


def test_overlapping_patches_are_averaged_and_unreadable_ones_left_out() -> None:
    table = patches([(0, 0, 4, 4), (2, 0, 4, 4), (4, 0, 4, 4)], [0.2, 0.6, np.nan])
    heat = heat_planes(table, 8, 4, most_px=4)
    np.testing.assert_allclose(heat.values[1, 0], [0.2, 0.2, 0.4, 0.4, 0.6, 0.6, np.nan, np.nan], atol=1e-6)
    with pytest.raises(OutputError, match="needs at least one patch"):
        heat_planes(_none(), 8, 4)


def _none() -> PatchTable:
    one = patches([(0, 0, 1, 1)], [0.0])
    columns = ("uuid", "box_xywh", "region", "probabilities", "patch_class")
    return PatchTable(**{name: getattr(one, name)[:0] for name in columns}, class_names=NAMES)


@given(
    side=st.integers(1, 3000),
    at=st.tuples(st.integers(0, 400), st.integers(0, 400)),
    width=st.integers(1, 200_000),
    most=st.integers(1, 32),
)
@settings(deadline=None, max_examples=200)
def test_adjacent_patches_neither_overlap_nor_leave_a_gap(
    side: int, at: tuple[int, int], width: int, most: int
) -> None:
    box = np.array([at[0] * side, at[1] * side, side, side], np.int32)
    step = heat_step(box[None], width, width, most)
    rows, columns = map_slice(box, step)
    right = map_slice(box + np.array([side, 0, 0, 0], np.int32), step)
    below = map_slice(box + np.array([0, side, 0, 0], np.int32), step)
    assert (columns.stop, rows.stop) == (right[1].start, below[0].start)
    assert 1 <= side / step <= most + 1e-9
    assert width / step <= max(4096, width / side) + 1e-6


def test_tifffile_reads_the_pyramid() -> None:
    rng = np.random.default_rng(0)
    boxes = [(x * 32, y * 32, 32, 32) for y in range(30) for x in range(40) if (x + y) % 3]
    table = patches(boxes, rng.random(len(boxes)).astype(np.float32).tolist())
    heat = heat_planes(table, 1300, 1000)
    assert heat.step == 2
    data = heat_pyramid(heat, 0.25, {"HER2 patch high": (255, 0, 0)})
    assert data == heat_pyramid(heat, 0.25, {"HER2 patch high": (255, 0, 0)})
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        series = tiff.series[0]
        assert series.axes == "CYX"
        assert [level.shape for level in series.levels] == [(2, 500, 650), (2, 250, 325), (2, 125, 163)]
        page = tiff.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        assert page.is_tiled
        np.testing.assert_array_equal(series.asarray(), heat.values)
        # Each level is the mean of what it stands for, holes left out.
        block = heat.values[1, 16:32, 16:32].reshape(8, 2, 8, 2)
        small = series.levels[1].asarray()[1, 8:16, 8:16]
        np.testing.assert_allclose(small, np.nanmean(block, axis=(1, 3)), rtol=1e-6)
        description = tifffile.xml2dict(tiff.ome_metadata or "")["OME"]["Image"]["Pixels"]
    assert description["PhysicalSizeX"] == 0.5
    assert [channel["Name"] for channel in description["Channel"]] == list(NAMES)
    red, white = (255 << 24 | 255) - (1 << 32), -1
    assert [channel["Color"] for channel in description["Channel"]] == [white, red]


def test_an_image_without_a_pixel_size_has_none_in_its_map() -> None:
    data = heat_pyramid(heat_planes(patches([(0, 0, 8, 8)], [0.5]), 8, 8), None)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        assert "PhysicalSize" not in (tiff.ome_metadata or "")


def test_a_blended_overlay_is_in_its_place() -> None:
    heat = heat_planes(patches([(100, 40, 20, 20)], [1.0]), 200, 100, most_px=1)
    png = heat_map_png(heat.values[1], 1)
    overlay = Overlay("probability", "heatmap.png", 0, 0, 200, 100)
    white = np.full((50, 100, 3), 255, np.uint8)
    drawn = blend_overlay(white, overlay, png, 0.5, opacity=1.0)
    changed = (drawn != 255).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 29, 50, 59)
    # The last colour of the map is a red.
    red, green, blue = drawn[25, 55].tolist()
    assert red > 100
    assert max(green, blue) < 30
    half = blend_overlay(white, overlay, png, 0.5, opacity=0.5)
    assert abs(int(half[25, 55, 2]) - (255 + blue) / 2) <= 1


def test_a_clear_map_is_transparent_where_its_value_is_zero() -> None:
    grid = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    drawn = cv2.imdecode(
        np.frombuffer(heat_map_png(grid, 1, opacity_by_value=True), np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert drawn[0, :, 3].tolist() == [0, 127, 255, 0]


def test_overlays_survive_json() -> None:
    overlays = (Overlay("Probability of HER2 patch 3+", "heatmap.png", 0, 0, 640, 480),)
    assert read_overlays(overlays_json(overlays)) == overlays
    for damaged in (b"{}", b"[]", b"{", b'{"format": 1, "overlays": [{"name": "x"}]}'):
        with pytest.raises(OutputError, match="--force"):
            read_overlays(damaged)
    with pytest.raises(OutputError, match="format 2"):
        read_overlays(b'{"format": 2, "overlays": []}')
    with pytest.raises(OutputError, match=r"'heatmap\.png' is not a PNG with transparency"):
        blend_overlay(np.zeros((4, 4, 3), np.uint8), overlays[0], b"no png", 1.0)
