from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qupath_her2.cells.nuclei.star_contours import (
    bilinear,
    centroid_offsets,
    mean_within,
    polygon_areas,
    polygon_centroids,
    polygons,
    rays_to_box,
)

RADII = arrays(np.float32, 36, elements=st.floats(0.0625, 50, width=32))


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
