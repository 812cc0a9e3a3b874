from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qupath_her2.cells.nuclei.star_contours import (
    MAX_STEP,
    bilinear,
    centroid_offsets,
    closed_path,
    mean_within,
    place_rays,
    polygon_areas,
    polygon_centroids,
    polygons,
    rays_to_box,
    read_rays,
)

RADII = arrays(np.float32, 36, elements=st.floats(0.0625, 50, width=32))


def found_path(gain: np.ndarray, step_price: float, max_step: int) -> np.ndarray:
    n_angles, n_radii = gain.shape
    best = np.full((n_angles + 1, n_radii + 2 * MAX_STEP), np.nan, np.float32)
    back = np.full((n_angles + 1, n_radii), -1, np.int32)
    path = np.full(n_angles, -1, np.int32)
    closed_path(gain.astype(np.float32), step_price, max_step, best, back, path)
    return path


def closed_value(gain: np.ndarray, path: np.ndarray, step_price: float, max_step: int) -> float:
    """The value of a path that must close; -inf where a step is too long."""
    steps = np.abs(np.diff(np.append(path, path[0])))
    if steps.max() > max_step:
        return -np.inf
    return float(gain[np.arange(len(path)), path].sum() - step_price * steps.sum())


def best_closed_path(gain: np.ndarray, step_price: float, max_step: int) -> np.ndarray:
    """Try every path."""
    paths = (np.array(p) for p in product(range(gain.shape[1]), repeat=gain.shape[0]))
    return max(paths, key=lambda path: closed_value(gain, path, step_price, max_step))


def planted(rng: np.random.Generator, n_angles: int, n_radii: int) -> tuple[np.ndarray, np.ndarray]:
    """A polar image with noise in 0..0.3 and a closed path of gain 1 with steps of at most one."""
    half = np.cumsum(rng.integers(0, 2, n_angles // 2))
    path = np.minimum(np.concatenate([half, half[::-1]]), n_radii - 1)
    gain = rng.uniform(0, 0.3, (n_angles, n_radii))
    gain[np.arange(n_angles), path] = 1.0
    return gain, path


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("n_angles", "n_radii"), [(6, 4), (4, 6)])
def test_clear_closed_path_is_the_best_of_all_paths(seed: int, n_angles: int, n_radii: int) -> None:
    gain, path = planted(np.random.default_rng(seed), n_angles, n_radii)
    assert (best_closed_path(gain, 0.05, 1) == path).all()
    assert (found_path(gain, 0.05, 1) == path).all()


@pytest.mark.parametrize("turn", [1, 7, 16, 31])
def test_position_of_angle_zero_makes_no_difference(turn: int) -> None:
    gain, path = planted(np.random.default_rng(3), 32, 18)
    assert (found_path(np.roll(gain, turn, axis=0), 0.05, 1) == np.roll(path, turn)).all()


def test_step_costs_its_price_and_no_step_is_too_long() -> None:
    gain = np.zeros((12, 9), np.float32)
    gain[:, 2] = 1.0
    gain[5, 2], gain[5, 4] = 0.0, 1.5
    # The detour to radius 4 and back gains 1.5 and takes 4 steps.
    assert found_path(gain, 1.5 / 4 - 0.01, 2)[5] == 4
    assert (found_path(gain, 1.5 / 4 + 0.01, 2) == 2).all()
    assert (found_path(gain, 0.0, 1) != 4).all()


@given(arrays(np.float32, (8, 7), elements=st.floats(-1, 1, width=32)), st.sampled_from([1, 2]))
def test_path_never_leaves_the_radii_or_jumps(gain: np.ndarray, max_step: int) -> None:
    path = found_path(gain, 0.05, max_step)
    assert ((path >= 0) & (path < 7)).all()
    assert np.isfinite(closed_value(gain, path, 0.05, max_step))


def best_closed_value(gain: np.ndarray, step_price: float, max_step: int) -> float:
    """The exact optimum, by one dynamic programme per starting radius."""
    n_radii = gain.shape[1]
    jump = np.abs(np.subtract.outer(np.arange(n_radii), np.arange(n_radii)))
    price = np.where(jump <= max_step, step_price * jump, np.inf)
    values = []
    for start in range(n_radii):
        value = np.where(np.arange(n_radii) == start, gain[0], -np.inf)
        for row in gain[1:]:
            value = (value[None] - price).max(1) + row
        values.append((value - price[start]).max())
    return max(values)


@pytest.mark.parametrize("max_step", [1, 2])
@pytest.mark.parametrize("height", [0.4, 0.8])
def test_faint_contour_in_noise_gives_the_best_closed_path(max_step: int, height: float) -> None:
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    exact = 0
    for _ in range(40):
        middle = 9 + 3 * np.cos(angle + rng.uniform(0, 6)) + 1.5 * np.cos(2 * angle + rng.uniform(0, 6))
        ridge = np.exp(-((np.arange(18) - middle[:, None]) ** 2) / 2)
        gain = rng.uniform(0, 0.6, (32, 18)) + height * ridge
        best = best_closed_value(gain, 0.1, max_step)
        value = closed_value(gain, found_path(gain, 0.1, max_step), 0.1, max_step)
        assert value <= best + 1e-4
        exact += value >= best - 1e-4
    # The method is not exact: it misses the optimum of a quarter of pure noise images, but hardly ever of a contour.
    assert exact >= 38


@given(RADII, st.floats(-1000, 1000), st.floats(-1000, 1000))
def test_star_polygons_are_valid_and_areas_equal_shapely(radii: np.ndarray, x: float, y: float) -> None:
    (ring,) = polygons(np.array([[x, y]]), radii[None])
    shape = shapely.Polygon(ring)
    assert shape.is_valid
    assert polygon_areas(radii[None])[0] == pytest.approx(shape.area, rel=1e-4)


def test_vertices_count_from_plus_x_towards_plus_y() -> None:
    (ring,) = polygons(np.array([[10.0, 20.0]]), np.array([[1, 2, 3, 4]], np.float32))
    assert ring == pytest.approx(np.array([[11, 20], [10, 22], [7, 20], [10, 16]]))


@given(st.floats(0, 0.6), st.floats(0, 2 * np.pi), st.floats(2, 40))
def test_centroid_of_an_off_centre_circle_is_its_centre(off: float, direction: float, radius: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False) - direction
    d = off * radius
    radii = d * np.cos(angle) + np.sqrt(radius**2 - (d * np.sin(angle)) ** 2)
    (found,) = centroid_offsets(radii[None].astype(np.float32))
    assert found == pytest.approx(d * np.array([np.cos(direction), np.sin(direction)]), abs=0.01 * radius)


@settings(deadline=None)
@given(st.floats(0, 6.9), st.floats(0, 4.9))
def test_bilinear_is_exact_on_a_slope(x: float, y: float) -> None:
    rows, columns = np.mgrid[:6, :8]
    plane = (3 + 2 * columns - 5 * rows).astype(np.float32)
    assert bilinear(plane, x, y) == pytest.approx(3 + 2 * x - 5 * y, abs=1e-4)


@pytest.mark.parametrize(
    ("x", "y", "inside"), [(-4, 2, (0, 2)), (99, 2, (7, 2)), (3, -1, (3, 0)), (3, 50, (3, 5))]
)
def test_outside_positions_are_moved_to_the_edge(x: float, y: float, inside: tuple[float, float]) -> None:
    plane = np.random.default_rng(1).uniform(size=(6, 8)).astype(np.float32)
    assert bilinear(plane, x, y) == pytest.approx(plane[inside[1], inside[0]], abs=2e-3)


@given(
    arrays(np.float64, (5, 2), elements=st.floats(0, 1)), st.tuples(st.floats(-9, 0), st.floats(1, 9)),
)  # fmt: skip
def test_rays_end_on_the_sides_of_the_box(centres: np.ndarray, sides: tuple[float, float]) -> None:
    low, high = np.array([sides[0], -0.5]), np.array([sides[1], 2.0])
    xy = polygons(centres, rays_to_box(centres, low, high, 36))
    assert (np.minimum(np.abs(xy - low), np.abs(xy - high)).min(-1) < 1e-9).all()
    assert ((xy > low - 1e-9) & (xy < high + 1e-9)).all()


@pytest.mark.parametrize("radius", [0.4, 3.0, 9.5])
def test_mean_within_a_contour(radius: float) -> None:
    y, x = np.mgrid[:60, :80].astype(np.float32)
    centres = np.array([[30.3, 29.6], [41.0, 20.5]])
    radii = np.full((2, 36), radius, np.float32)
    # The mean of a slope is its value at the centre; that of a paraboloid exceeds it by half the squared radius.
    assert mean_within(2 * x + y, centres, radii) == pytest.approx([90.2, 102.5], abs=0.05)
    hill = (x - 30) ** 2 + (y - 30) ** 2
    found = mean_within(hill.astype(np.float32), np.array([[30.0, 30.0]]), radii[:1])[0]
    # Between pixels, interpolation overestimates a paraboloid by up to 1/4 in either direction.
    assert radius**2 / 2 * 0.95 < found < radius**2 / 2 + 0.5


@given(RADII)
def test_centroids_are_those_of_the_polygon(radii: np.ndarray) -> None:
    corners = polygons(np.zeros((1, 2)), radii[None])[0]
    expected = shapely.get_coordinates(shapely.centroid(shapely.Polygon(corners)))[0]
    assert polygon_centroids(radii[None])[0] == pytest.approx(expected, abs=1e-4 * float(radii.max()))


def test_a_contour_without_area_has_its_centre_as_centroid() -> None:
    assert polygon_centroids(np.zeros((1, 36), np.float32)).tolist() == [[0, 0]]


@given(st.floats(-4, 24), st.floats(-4, 16), st.floats(0, 2 * np.pi), st.floats(0.2, 2))
def test_rays_read_what_single_samples_read(x: float, y: float, angle: float, step: float) -> None:
    plane = np.random.default_rng(1).normal(size=(12, 20)).astype(np.float32)
    turns = np.array([angle, angle + 1, angle + 2])
    cosine, sine = np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32)
    index, u, v = np.empty((9, 3), np.int32), np.empty((9, 3), np.float32), np.empty((9, 3), np.float32)
    at_x, at_y = np.full(3, x, np.float32), np.full(3, y, np.float32)
    place_rays(plane.shape, at_x, at_y, cosine, sine, (0.5, step), index, u, v)
    values = np.empty((9, 3), np.float32)
    read_rays(plane.reshape(-1), 20, index, u, v, values)
    radius = 0.5 + step * np.arange(9)[:, None]
    places = np.stack([at_x + radius * cosine, at_y + radius * sine], -1).reshape(-1, 2)
    single = [bilinear(plane, float(px), float(py)) for px, py in places]
    assert values.ravel() == pytest.approx(np.array(single), abs=1e-4)
