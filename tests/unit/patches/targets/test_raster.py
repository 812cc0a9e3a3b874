from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon

from qupath_her2.patches.targets.raster import Rings, coverage, polygon_rings, rings_in_box

coordinates = st.floats(-10, 50, allow_nan=False, width=32)
clouds = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=12, unique=True)


def around(points: list[tuple[float, float]]) -> Polygon:
    """A polygon through all points, ordered by their direction from the middle: not convex, never crossing."""
    xy = np.array(points, float)
    offset = xy - xy.mean(0)
    polygon = Polygon(xy[np.argsort(np.arctan2(offset[:, 1], offset[:, 0]))])
    assume(polygon.is_valid and polygon.area > 0.5)
    return polygon


def centres(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return x, y


def off_the_edges(shape: shapely.Geometry, width: int, height: int) -> np.ndarray:
    """Pixels whose centre is not so near an outline that rounding decides."""
    return shapely.distance(shapely.boundary(shape), shapely.points(*centres(width, height))) > 1e-6


@settings(max_examples=80, deadline=None)
@given(clouds)
def test_a_pixel_belongs_where_its_centre_does(points: list[tuple[float, float]]) -> None:
    polygon = around(points)
    found = coverage(polygon_rings([polygon]), 40, 30)
    clear = off_the_edges(polygon, 40, 30)
    truth = shapely.contains_xy(polygon, *centres(40, 30))
    assert np.array_equal(found[clear], truth[clear].astype(int))


@settings(max_examples=80, deadline=None)
@given(clouds)
def test_the_area_is_right_within_the_perimeter(points: list[tuple[float, float]]) -> None:
    polygon = around(points)
    seen = polygon.intersection(shapely.box(0, 0, 40, 30))
    found = coverage(polygon_rings([polygon]), 40, 30).sum()
    # A pixel is misjudged by at most its half, and an outline of length p meets at most about 2 p + 4 of them.
    assert abs(found - seen.area) <= seen.length + 2


@settings(max_examples=60, deadline=None)
@given(clouds)
def test_rotating_the_shape_rotates_the_pixels(points: list[tuple[float, float]]) -> None:
    polygon = around(points)
    # Clockwise by 90 degrees with y down, of a picture 30 px high.
    turned = shapely.transform(polygon, lambda xy: np.stack([30 - xy[:, 1], xy[:, 0]], axis=1))
    straight = coverage(polygon_rings([polygon]), 40, 30)
    clear = off_the_edges(polygon, 40, 30)
    found = np.rot90(coverage(polygon_rings([turned]), 30, 40))
    assert np.array_equal(found[clear], straight[clear])


@settings(max_examples=40, deadline=None)
@given(clouds, st.booleans())
def test_orientation_and_a_closing_vertex_make_no_difference(
    points: list[tuple[float, float]], closed: bool
) -> None:
    xy = np.asarray(around(points).exterior.coords)[:-1]
    other = np.concatenate([xy[::-1], xy[-1:]]) if closed else xy[::-1]
    one, two = (Rings(p, np.array([0, len(p)]), np.zeros(1, bool)) for p in (xy, other))
    assert np.array_equal(coverage(one, 40, 30), coverage(two, 40, 30))


def test_halves_of_a_box_share_no_pixel_and_lose_none() -> None:
    # The cut runs through pixel centres from corner to corner.
    lower, upper = Polygon([(0, 0), (8, 8), (0, 8)]), Polygon([(0, 0), (8, 0), (8, 8)])
    assert np.array_equal(coverage(polygon_rings([lower, upper]), 8, 8), np.ones((8, 8)))


def test_holes_parts_and_overlaps() -> None:
    holed = Polygon([(1, 1), (9, 1), (9, 9), (1, 9)], [[(3, 3), (6, 3), (6, 6), (3, 6)]])
    apart = MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(8, 8, 10, 10)])
    mixed = shapely.GeometryCollection([shapely.LineString([(0, 0), (9, 9)]), apart])
    truth = np.zeros((10, 10), int)
    truth[1:9, 1:9] += 1
    truth[3:6, 3:6] -= 1
    truth[0:2, 0:2] += 1
    truth[8:10, 8:10] += 1
    assert np.array_equal(coverage(polygon_rings([holed, mixed]), 10, 10), truth)
    assert coverage(polygon_rings([]), 5, 4).shape == (4, 5)
    assert coverage(polygon_rings([Polygon()]), 5, 4).sum() == 0


def test_rings_in_a_box_are_found_past_empty_ones() -> None:
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], float)
    xy = np.concatenate([square, square + 10, square[:2], square + 4])
    rings = Rings(xy, np.array([0, 0, 4, 4, 8, 10, 14, 14]), np.zeros(7, bool))
    assert rings_in_box(rings, (0, 0, 5, 5)).tolist() == [1, 5]
    assert rings_in_box(rings, (11, 11, 20, 20)).tolist() == [3]
    part = rings.select(np.array([5, 1]))
    assert np.array_equal(part.xy, np.concatenate([square + 4, square]))
    assert part.offsets.tolist() == [0, 4, 8]
    none = Rings(np.zeros((0, 2)), np.zeros(1, int), np.zeros(0, bool))
    assert len(rings_in_box(none, (0, 0, 1, 1))) == 0


def test_rings_can_be_moved_and_scaled() -> None:
    moved = polygon_rings([shapely.box(100, 50, 104, 58)]).to_window(98, 48, 2.0)
    truth = np.zeros((6, 4), int)
    truth[1:5, 1:3] = 1
    assert np.array_equal(coverage(moved, 4, 6), truth)
    assert moved.xy.max() == pytest.approx(5.0)
