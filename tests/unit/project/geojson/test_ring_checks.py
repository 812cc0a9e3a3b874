"""Star-shaped rings: what is proven valid is valid for GEOS, and round outlines are proven."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.project.geojson.ring_checks import are_star_shaped

points = st.tuples(st.integers(-6, 6), st.integers(-6, 6))


def stars(*rings: list[tuple[int, int]]) -> list[bool]:
    offsets = np.concatenate([[0], np.cumsum([len(ring) for ring in rings])]).astype(np.int64)
    flat = np.array([point for ring in rings for point in ring], np.int32).reshape(-1, 2)
    return are_star_shaped(flat, offsets).tolist()


@settings(max_examples=500, deadline=None)
@given(st.lists(st.lists(points, min_size=0, max_size=8), min_size=1, max_size=8))
def test_rings_proven_valid_are_valid_for_geos(rings: list) -> None:
    for ring, proved in zip(rings, stars(*rings), strict=True):
        if proved:
            shape = shapely.Polygon(ring)
            assert shape.is_valid
            assert shape.area > 0


@pytest.mark.parametrize("turn", [1, -1])
def test_round_outlines_are_proven_valid(turn: int) -> None:
    """Otherwise the fast check would be correct but useless."""
    random = np.random.default_rng(2)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rings = []
    for _ in range(100):
        radius = random.uniform(1500, 2500, 24)
        xy = random.uniform(0, 1e6, 2) + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        rings.append([tuple(point) for point in np.rint(xy).astype(int)[::turn]])
    assert all(stars(*rings))


def test_rings_that_wind_twice_or_cross_themselves_are_not_proven() -> None:
    square = [(0, 0), (10, 0), (10, 10), (0, 10)]
    pentagram = [(0, 100), (59, -81), (-95, 31), (95, 31), (-59, -81)]
    far = [(-(2**31), -(2**31)), (2**31 - 1, -(2**31)), (2**31 - 1, 2**31 - 1), (-(2**31), 2**31 - 1)]
    found = stars(square, square * 2, pentagram, [(0, 0), (10, 10), (10, 0), (0, 10)], [(0, 0), (1, 1)], far)
    assert found == [True, False, False, False, False, False]
