"""Outlines that cross themselves: both rules of filling against shapely and against winding numbers."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon

from qupath_her2.project.geojson.geometry import BadGeometryError, parse_polygon
from qupath_her2.project.geojson.self_crossings import (
    MAX_CROSSINGS,
    crosses_too_often,
    fill_even_odd,
    fill_non_zero,
)


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


BOW_TIE = [[0, 0], [100, 100], [100, 0], [0, 100], [0, 0]]
LOOP = [[0, 0], [100, 0], [100, 100], [52, 100], [48, 95], [52, 95], [48, 100], [0, 100], [0, 0]]

#: Rings of each polygon, and the area by the even-odd and by the non-zero rule, counted by hand.
KINDS = {
    "bow-tie": ([[BOW_TIE]], 5000, 5000),
    "overlapping holes": ([[square(0, 0, 100), square(10, 10, 40), square(30, 30, 40)]], 7600, 7200),
    "hole outside": ([[square(0, 0, 100), square(200, 200, 50)]], 12500, 10000),
    "hole across the outline": ([[square(0, 0, 100), square(80, 80, 40)]], 10800, 9600),
    "hole equal to the outline": ([[square(0, 0, 100), square(0, 0, 100)]], 10000, 0),
    "hole in a hole": ([[square(0, 0, 100), square(10, 10, 60), square(20, 20, 20)]], 6800, 6400),
    "hole twice": ([[square(0, 0, 100), square(10, 10, 40), square(10, 10, 40)]], 8400, 8400),
    "twice round": ([[square(0, 0, 100)[:-1] + square(0, 0, 100)]], 10000, 10000),
    "spike": (
        [[[[0, 0], [100, 0], [100, 50], [200, 50], [100, 50], [100, 100], [0, 100], [0, 0]]]],
        10000,
        10000,
    ),
    "small loop": ([[LOOP]], 9990, 9995),
    "overlapping parts": ([[square(0, 0, 100)], [square(50, 50, 100)]], 15000, 17500),
    "nested parts": ([[square(0, 0, 100)], [square(20, 20, 40)]], 8400, 10000),
    "equal parts": ([[square(0, 0, 100)], [square(0, 0, 100)]], 10000, 10000),
    "parts with a common edge": ([[square(0, 0, 100)], [square(100, 0, 100)]], 20000, 20000),
}


def built(parts: list[list[list[list[float]]]]) -> Polygon | MultiPolygon:
    polygons = [Polygon(rings[0], rings[1:]) for rings in parts]
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_by_both_rules(kind: str) -> None:
    parts, even_odd, non_zero = KINDS[kind]
    shape = built(parts)
    assert fill_even_odd(shape).area == pytest.approx(even_odd)
    assert fill_non_zero(shape).area == pytest.approx(non_zero)
    assert not crosses_too_often(shape)


@pytest.mark.parametrize("kind", KINDS)
def test_an_area_that_changes_by_more_than_a_thousandth_is_said_or_refused(kind: str) -> None:
    parts, even_odd, non_zero = KINDS[kind]
    geometry = {"type": "MultiPolygon", "coordinates": parts}
    drawn = built(parts).area
    if abs(even_odd - non_zero) >= 0.01 * max(even_odd, non_zero):
        with pytest.raises(BadGeometryError, match="inside or outside depending on the rule"):
            parse_polygon(geometry)
        return
    shape, notes = parse_polygon(geometry)
    assert shape.area == pytest.approx(even_odd)
    (note,) = notes
    assert f"area now {even_odd:,} px²" in note
    assert (f"{drawn:,.0f} px² as drawn" in note) == (abs(drawn - even_odd) > 0.001 * even_odd)


points = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=12)


@settings(deadline=None, max_examples=150)
@given(st.lists(points, min_size=1, max_size=3))
def test_even_odd_is_what_make_valid_fills(outlines: list[list[tuple[int, int]]]) -> None:
    shape = MultiPolygon([Polygon(outline) for outline in outlines])
    difference = shapely.symmetric_difference(fill_even_odd(shape), shapely.make_valid(shape).buffer(0))
    assert difference.area < 1e-6


def test_hundreds_of_random_points_cross_too_often() -> None:
    """Two random chords of a square cross with a probability of 0.23: some 10,000 crossings of 300 segments."""
    ring = np.random.default_rng(3).uniform(0, 1000, (300, 2)).tolist()
    assert crosses_too_often(Polygon(ring))
    with pytest.raises(BadGeometryError, match=rf"more than {MAX_CROSSINGS:,} places"):
        parse_polygon({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})


def test_thousands_of_overlapping_parts_cross_too_often() -> None:
    corners = np.random.default_rng(4).uniform(0, 700, (1500, 2))
    assert crosses_too_often(MultiPolygon([shapely.box(x, y, x + 300, y + 300) for x, y in corners]))


def test_thousands_of_spikes_from_one_point_are_too_many() -> None:
    angles = np.linspace(0, 2 * np.pi, 20_000)
    ends = np.stack([np.cos(angles), np.sin(angles)], 1) * 500
    ring = np.stack([np.zeros_like(ends), ends], 1).reshape(-1, 2)
    assert crosses_too_often(Polygon(ring))


def test_an_outline_that_touches_itself_at_every_pixel_is_repaired() -> None:
    """A staircase of squares that touch at their corners: 3,000 of them, each of one square pixel."""
    steps = range(3000)
    ring = [(0, 0), *[p for i in steps for p in ((i, i + 1), (i + 1, i + 1))]]
    ring += [p for i in reversed(steps) for p in ((i + 1, i), (i, i))]
    shape, _ = parse_polygon({"type": "Polygon", "coordinates": [[list(map(float, p)) for p in ring]]})
    assert shape.area == 3000


def test_a_part_that_is_repeated_thousands_of_times_counts_once() -> None:
    shape, _ = parse_polygon({"type": "MultiPolygon", "coordinates": [[square(0, 0, 100)]] * 3000})
    assert shape.area == 10000


def test_thousands_of_open_outlines_are_one_note() -> None:
    parts = [[square(2 * x, 0, 1 + x * 1e-4)[:-1]] for x in range(3000)]
    _, notes = parse_polygon({"type": "MultiPolygon", "coordinates": parts})
    assert notes == ["3000 open outlines were closed (gaps of up to 1.3 px)"]


def test_crossings_count_as_often_as_they_are_drawn() -> None:
    """A bow-tie drawn a hundred times over crosses itself 10,000 times."""
    assert not crosses_too_often(Polygon(BOW_TIE))
    assert crosses_too_often(Polygon(BOW_TIE[:-1] * 100 + BOW_TIE[-1:]))


def test_a_ring_that_goes_round_and_round_is_bounded() -> None:
    angles = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1) * 500
    assert not crosses_too_often(Polygon(np.tile(ring, (2, 1))))
    assert crosses_too_often(Polygon(np.tile(ring, (60, 1))))
