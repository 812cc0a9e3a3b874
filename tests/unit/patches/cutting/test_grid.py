from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.cutting.grid import GridSettings, PatchScale, grid_boxes, patch_scale, random_boxes

sides = st.integers(8, 60)
sizes = st.integers(1, 400)
NAN = math.nan


def turned(boxes: np.ndarray, height: int) -> np.ndarray:
    """Boxes of an image turned clockwise by 90 degrees; `height` before the turn."""
    x, y, w, h = boxes.T
    return np.stack([height - y - h, x, h, w], axis=1)


def as_set(boxes: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, boxes.tolist()))


@settings(max_examples=150, deadline=None)
@given(
    width=sizes,
    height=sizes,
    side=sides,
    stride=st.integers(1, 80),
    corner=st.tuples(st.floats(-50, 450), st.floats(-50, 450)),
    extent=st.tuples(st.floats(0.01, 300), st.floats(0.01, 300)),
)
def test_no_patch_is_lost_and_none_is_too_many(
    width: int, height: int, side: int, stride: int, corner: tuple, extent: tuple
) -> None:
    bounds = (corner[0], corner[1], corner[0] + extent[0], corner[1] + extent[1])
    got = grid_boxes(width, height, bounds, PatchScale(side, stride, 0.25))
    want = [
        (x, y, side, side)
        for y in range(0, height, stride)
        for x in range(0, width, stride)
        if x + side <= width
        and y + side <= height
        and x < bounds[2]
        and x + side > bounds[0]
        and y < bounds[3]
        and y + side > bounds[1]
    ]
    assert got.tolist() == [list(box) for box in want]
    assert got.dtype == np.int32


@given(side=sides, stride=st.integers(1, 60), across=st.integers(0, 6), down=st.integers(0, 6))
def test_rotating_the_image_rotates_the_grid(side: int, stride: int, across: int, down: int) -> None:
    # Images that the lattice fills: what is left over lies right and below, whichever way the image is turned.
    width, height = side + across * stride, side + down * stride
    scale = PatchScale(side, stride, 0.25)
    upright = grid_boxes(width, height, (0, 0, width, height), scale)
    lying = grid_boxes(height, width, (0, 0, height, width), scale)
    assert len(upright) == (across + 1) * (down + 1)
    assert as_set(turned(upright, height)) == as_set(lying)


@given(width=st.integers(60, 400), height=st.integers(60, 400), side=sides)
def test_patches_without_stride_tile_the_image(width: int, height: int, side: int) -> None:
    boxes = grid_boxes(width, height, (0, 0, width, height), PatchScale(side, side, 0.25))
    seen = np.zeros((height, width), int)
    for x, y, w, h in boxes:
        seen[y : y + h, x : x + w] += 1
    whole_y, whole_x = height // side * side, width // side * side
    assert (seen[:whole_y, :whole_x] == 1).all()
    assert seen.sum() == whole_y * whole_x


@pytest.mark.parametrize(
    ("native", "target", "want"),
    [
        (0.25, 0.25, PatchScale(512, 512, 0.25)),
        (0.25, 0.5, PatchScale(1024, 1024, 0.5)),
        (0.2425, 0.25, PatchScale(512, 512, 0.2425)),
        (0.2627, 0.25, None),
        (0.2625, 0.25, PatchScale(512, 512, 0.2625)),
        (0.23, 0.25, PatchScale(557, 557, 0.23 * 557 / 512)),
        (0.5, 0.25, None),
        (NAN, 0.25, None),
        (None, 0.25, None),
        (None, 0.0, PatchScale(512, 512, NAN)),
        (0.5, 0.0, PatchScale(512, 512, 0.5)),
    ],
)
def test_scale_comes_from_micrometres(native: float | None, target: float, want: PatchScale | None) -> None:
    made = GridSettings(512, target)
    if want is None:
        with pytest.raises(PatchError, match=r"case07.*--um-px"):
            patch_scale(native, made, "case07.svs")
    else:
        got = patch_scale(native, made, "case07.svs")
        assert (got.side, got.stride) == (want.side, want.stride)
        assert got.um_px == pytest.approx(want.um_px, nan_ok=True)


@given(native=st.floats(0.1, 1), target=st.floats(0.1, 4), size=st.integers(64, 1024))
def test_a_patch_is_as_wide_as_asked_within_half_a_pixel(native: float, target: float, size: int) -> None:
    assume(abs(native / target - 1) > 1e-6)
    made = GridSettings(size, target, native_within=0.0)
    if native > target:
        with pytest.raises(PatchError):
            patch_scale(native, made)
        return
    got = patch_scale(native, made)
    assert abs(got.side * native - size * target) <= native / 2 + 1e-9
    assert got.um_px * size == pytest.approx(got.side * native)


def test_stride_is_in_pixels_of_the_network_input() -> None:
    got = patch_scale(0.25, GridSettings(256, 0.5, stride_px=128))
    assert got == PatchScale(512, 256, 0.5)


@pytest.mark.parametrize(
    "bad",
    [
        {"patch_size_px": 7},
        {"target_um_px": -1.0},
        {"target_um_px": 0.01},
        {"target_um_px": NAN},
        {"stride_px": -1},
        {"native_within": 0.5},
        {"native_within": -0.1},
    ],
)
def test_invalid_settings_are_refused(bad: dict) -> None:
    with pytest.raises(SettingsError):
        GridSettings(**bad)


RING = shapely.Point(200, 150).buffer(120).difference(shapely.Point(200, 150).buffer(70))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**40), n=st.integers(1, 60), side=st.integers(8, 40))
def test_random_positions_are_inside_and_depend_on_the_seed(seed: int, n: int, side: int) -> None:
    boxes = random_boxes(RING, n, 400, 260, side, seed, "a")
    assert len(boxes) == len(as_set(boxes)) == n
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 0] + side <= 400).all()
    assert (boxes[:, 1] + side <= 260).all()
    centres = boxes[:, :2] + side / 2
    assert shapely.dwithin(RING, shapely.points(centres), 1.0).all()
    assert np.array_equal(boxes, random_boxes(RING, n, 400, 260, side, seed, "a"))
    # Fewer are the first of more, so that asking for more keeps those there are.
    assert np.array_equal(boxes[: n // 2], random_boxes(RING, n // 2, 400, 260, side, seed, "a"))


def test_another_seed_or_image_gives_other_positions() -> None:
    first = random_boxes(RING, 20, 400, 260, 16, 1, "a")
    assert not np.array_equal(first, random_boxes(RING, 20, 400, 260, 16, 2, "a"))
    assert not np.array_equal(first, random_boxes(RING, 20, 400, 260, 16, 1, "b"))


def test_random_positions_are_uniform() -> None:
    boxes = random_boxes(shapely.box(0, 0, 1000, 1000), 4000, 1000, 1000, 8, 3)
    quarter = (boxes[:, :2] >= 496).sum(axis=0) / len(boxes)
    # Four standard deviations of a fair coin.
    assert np.abs(quarter - 0.5).max() < 4 * 0.5 / math.sqrt(4000)


def test_a_full_region_gives_fewer_boxes_or_none() -> None:
    assert len(random_boxes(shapely.box(10, 10, 12, 12), 100, 400, 260, 16, 1)) <= 9
    assert random_boxes(shapely.box(0, 0, 4, 4), 5, 400, 260, 16, 1).shape == (0, 4)
    assert random_boxes(RING, 5, 10, 10, 16, 1).shape == (0, 4)
    assert random_boxes(RING, 0, 400, 260, 16, 1).shape == (0, 4)
    assert random_boxes(shapely.Polygon(), 5, 400, 260, 16, 1).shape == (0, 4)
