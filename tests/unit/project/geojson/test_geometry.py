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


def test_overlapping_parts_are_refused_otherwise() -> None:
    half = [[5, 0], [15, 0], [15, 10], [5, 10], [5, 0]]
    with pytest.raises(BadGeometryError, match="change its area by 33%"):
        parse_polygon({"type": "MultiPolygon", "coordinates": [[SQUARE], [half]]})


def test_the_lobes_of_a_figure_of_eight_cancel() -> None:
    """Both lobes have 25 square pixels: drawn is 0, a repair would give 50."""
    with pytest.raises(BadGeometryError, match=r"crosses itself \(Self-intersection.*by 100%"):
        parse_polygon(polygon([[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]))


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


points = st.lists(st.tuples(st.floats(0, 99), st.floats(0, 99)), min_size=3, max_size=8)


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
