"""Polygons from GeoJSON: validity, repair, clipping, and QuPath's grid, with areas computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.project.geojson.geometry import (
    BadGeometryError,
    Frame,
    clip_to_image,
    parse_polygon,
    polygon_parts,
    snap,
)

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[2, 2], [2, 4], [4, 4], [4, 2], [2, 2]]
FRAME = Frame(100, 50)


def polygon(*rings: list) -> dict:
    return {"type": "Polygon", "coordinates": list(rings)}


def test_holes_are_kept() -> None:
    shape, notes = parse_polygon(polygon(SQUARE, HOLE))
    assert shape.area == 10 * 10 - 2 * 2
    assert notes == []


def test_overlapping_parts_are_merged_if_that_hardly_changes_the_area() -> None:
    sliver = [[9.999, 0], [20, 0], [20, 10], [9.999, 10], [9.999, 0]]
    shape, notes = parse_polygon({"type": "MultiPolygon", "coordinates": [[SQUARE], [sliver]]})
    assert shape.is_valid
    assert shape.area == pytest.approx(20 * 10)
    assert "self-intersecting outline was repaired" in notes[0]


def test_overlapping_parts_are_merged_and_the_area_is_said() -> None:
    half = [[5, 0], [15, 0], [15, 10], [5, 10], [5, 0]]
    shape, notes = parse_polygon({"type": "MultiPolygon", "coordinates": [[SQUARE], [half]]})
    assert shape.area == 15 * 10
    assert "area now 150 px²" in notes[0]


def test_both_lobes_of_a_bow_tie_are_kept_as_in_qupath_0_5() -> None:
    """Each lobe has 25 square pixels, and no point lies in both."""
    shape, notes = parse_polygon(polygon([[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]))
    assert shape.area == pytest.approx(50)
    assert "self-intersecting outline was repaired (Self-intersection" in notes[0]
    assert "area now 50 px²" in notes[0]


def test_an_area_enclosed_twice_is_ambiguous() -> None:
    """A pentagram's inner pentagon is inside by the winding rule and outside by the even-odd rule."""
    angle = np.pi / 2 + np.arange(6) * 4 * np.pi / 5
    star = np.stack([50 + 40 * np.cos(angle), 50 - 40 * np.sin(angle)], 1).round(6)
    star[-1] = star[0]
    with pytest.raises(BadGeometryError, match="inside or outside depending on the rule of filling"):
        parse_polygon(polygon(star.tolist()))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=9))
def test_what_is_repaired_is_what_the_outline_winds_around(outline: list[tuple[int, int]]) -> None:
    """Point by point: the winding number of the drawn outline, against the repaired shape."""
    ring = [[float(x), float(y)] for x, y in (*outline, outline[0])]
    try:
        shape, _ = parse_polygon(polygon(ring))
    except BadGeometryError:
        return
    xy = np.asarray(ring)
    edges = shapely.LineString(xy).buffer(1e-6)
    wrong = total = 0
    for x, y in np.random.default_rng(1).uniform(0, 30, (200, 2)):
        if edges.contains(shapely.Point(x, y)):
            continue
        (x0, y0), (x1, y1) = xy[:-1].T, xy[1:].T
        crossing = ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / np.where(y1 == y0, 1, y1 - y0))
        direction = np.where(y1 > y0, 1, -1)[crossing].sum()
        total += 1
        wrong += shape.contains(shapely.Point(x, y)) != (direction != 0)
    # Up to 1 % of the area may depend on the rule; of 200 points a few may fall there.
    assert wrong <= 0.03 * total


def test_an_outline_without_its_closing_point_is_closed() -> None:
    shape, notes = parse_polygon(polygon([[0, 0], [10, 0], [10, 10], [0, 10]]))
    assert shape.area == 100
    assert notes == ["open outline was closed (gap of 10.0 px)"]


def test_half_an_outline_is_refused() -> None:
    arc = [[50 + 40 * np.cos(a), 50 + 40 * np.sin(a)] for a in np.linspace(0, np.pi, 30)]
    with pytest.raises(BadGeometryError, match=r"gap of 80 px, longer than any of its edges"):
        parse_polygon(polygon(arc))


def test_a_collection_is_its_polygons() -> None:
    inner = {
        "type": "GeometryCollection",
        "geometries": [polygon(SQUARE), {"type": "Point", "coordinates": [5, 5]}],
    }
    other = polygon([[20, 0], [30, 0], [30, 10], [20, 10], [20, 0]])
    shape, notes = parse_polygon({"type": "GeometryCollection", "geometries": [inner, other]})
    assert shape.area == 200
    assert notes == ["1 Point in its collection has no area and was left out"]
    with pytest.raises(BadGeometryError, match="GeometryCollection, which has no area"):
        parse_polygon(
            {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [5, 5]}]}
        )


@pytest.mark.parametrize(
    ("box", "inside"),
    [((10, 10, 20, 20), 100), ((-10, 0, 10, 10), 100), ((90, 40, 200, 200), 100), ((0, 0, 100, 50), 5000)],
)
def test_clipping_leaves_the_part_inside_the_image(box: tuple[int, ...], inside: float) -> None:
    notes: list[str] = []
    shape = shapely.box(*box)
    clipped = clip_to_image(shape, FRAME, notes)
    assert clipped.area == inside
    assert bool(notes) == (shape.area != inside)


def test_a_shape_outside_the_image_is_refused_with_its_bounds() -> None:
    with pytest.raises(BadGeometryError, match="x 200 to 210, y 0 to 5, image 100 x 50 px"):
        clip_to_image(shapely.box(200, 0, 210, 5), FRAME, [])


def test_degrees_are_refused_for_regions_of_slides_only() -> None:
    shape, slide = shapely.box(12.5, 48.1, 12.6, 48.2), Frame(50_000, 40_000)
    with pytest.raises(BadGeometryError, match="longitude and latitude"):
        clip_to_image(shape, slide, [])
    assert clip_to_image(shape, slide, [], is_region=False) is shape
    assert clip_to_image(shape, FRAME, []) is shape
    assert clip_to_image(shapely.box(12, 48, 13, 49), slide, []).area == 1


#: Millionths of a pixel: near the smallest floats shapely's own make_valid divides by zero.
coordinates = st.floats(0, 99).map(lambda value: round(value, 6))
points = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=8)


@settings(max_examples=150, deadline=None)
@given(points)
def test_snapping_gives_valid_shapes_on_the_grid_and_is_stable(outline: list) -> None:
    shape = polygon_parts(shapely.make_valid(shapely.Polygon(outline)))
    if shape is None or shape.area < 1:
        return
    snapped = snap(shape)
    hundredths = shapely.get_coordinates(snapped) * 100
    assert snapped.is_valid
    assert np.abs(hundredths - np.rint(hundredths)).max() < 1e-6
    assert abs(snapped.area - shape.area) < 0.02 * shape.length
    assert snap(snapped) is snapped


def test_polygon_parts_drops_points_and_lines() -> None:
    line, point = shapely.LineString([(0, 0), (1, 1)]), shapely.Point(5, 5)
    square = shapely.box(0, 0, 1, 1)
    assert polygon_parts(shapely.GeometryCollection([line, point])) is None
    assert polygon_parts(shapely.GeometryCollection([line, square])) == square
    both = shapely.MultiPolygon([square, shapely.box(5, 5, 6, 6)])
    assert polygon_parts(shapely.GeometryCollection([both, point])) == both
