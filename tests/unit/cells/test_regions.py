from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.cells.regions import OUTSIDE, map_regions
from qupath_her2.records import Box, Region

ROLES = ("tumour", "tumour", "stroma", "ignore", "in_situ", "control", "other")


@st.composite
def shapes(draw: st.DrawFn) -> shapely.Polygon:
    """A rectangle on whole numbers, often with a rectangular hole."""
    x, y = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    width, height = draw(st.integers(3, 60)), draw(st.integers(3, 60))
    outer = shapely.box(x, y, x + width, y + height)
    if not draw(st.booleans()):
        return outer
    return outer.difference(shapely.box(x + 1, y + 1, x + width - 1, y + height - 1))


def region(number: int, geometry: shapely.Geometry, role: str = "tumour") -> Region:
    return Region(UUID(int=number), geometry, role)  # type: ignore[arg-type]


@st.composite
def scenes(draw: st.DrawFn) -> list[Region]:
    found = draw(st.lists(st.tuples(shapes(), st.sampled_from(ROLES)), min_size=1, max_size=7))
    return [region(i + 1, shape, role) for i, (shape, role) in enumerate(found)]


#: Off the whole numbers, where no boundary lies.
POINTS = np.stack(np.meshgrid(np.arange(-2.5, 104, 3), np.arange(-2.5, 104, 3)), -1).reshape(-1, 2)


def owner(regions: list[Region], x: float, y: float) -> int:
    """By the rule in words, one point at a time: subtracting regions first, then the smallest that holds it."""
    point = shapely.Point(x, y)
    holding = [r for r in regions if r.role != "other" and r.geometry.contains(point)]
    if not holding or any(r.role in ("ignore", "in_situ", "control") for r in holding):
        return OUTSIDE
    inner = min(holding, key=lambda r: (r.geometry.area, r.uuid.int))
    scored = [r for r in regions if r.role == "tumour"]
    return scored.index(inner) if inner.role == "tumour" else OUTSIDE


@settings(deadline=None, max_examples=40)
@given(scenes())
def test_innermost_wins_and_others_subtract(regions: list[Region]) -> None:
    found = map_regions(regions).assign(POINTS)
    assert found.tolist() == [owner(regions, x, y) for x, y in POINTS]


@settings(deadline=None, max_examples=40)
@given(scenes(), st.randoms())
def test_the_order_of_drawing_decides_nothing(regions: list[Region], random: object) -> None:
    shuffled = list(regions)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = map_regions(regions), map_regions(shuffled)

    def owners(found: object) -> list[object]:
        names = [r.uuid for r in found.scored] + [None]  # type: ignore[attr-defined]
        return [names[i] for i in found.assign(POINTS)]  # type: ignore[attr-defined]

    assert owners(first) == owners(second)


def test_a_hole_belongs_to_what_lies_around_it() -> None:
    ring = shapely.box(0, 0, 100, 100).difference(shapely.box(40, 40, 60, 60))
    regions = map_regions([region(1, ring), region(2, shapely.box(-50, -50, 200, 200))])
    assert regions.assign(np.array([[10.0, 10.0], [50.0, 50.0], [150.0, 50.0], [300.0, 0.0]])).tolist() == [
        0, 1, 1, OUTSIDE
    ]  # fmt: skip


@pytest.mark.parametrize("role", ["ignore", "in_situ", "control"])
def test_a_large_subtracting_region_takes_small_tumour_away(role: str) -> None:
    regions = map_regions(
        [region(1, shapely.box(10, 10, 20, 20)), region(2, shapely.box(0, 0, 99, 99), role)]
    )
    assert regions.assign(np.array([[15.0, 15.0]])).tolist() == [OUTSIDE]


@settings(deadline=None, max_examples=60)
@given(scenes(), st.integers(-20, 110), st.integers(-20, 110), st.integers(1, 40), st.integers(1, 40))
def test_bounds_and_touches_are_those_of_the_scored_regions(
    regions: list[Region], x: int, y: int, width: int, height: int
) -> None:
    tumours = shapely.union_all([r.geometry for r in regions if r.role == "tumour"])
    if tumours.is_empty:
        assert map_regions(regions).scored == ()
        return
    found = map_regions(regions)
    assert found.bounds() == tumours.bounds
    frame = shapely.box(x, y, x + width, y + height)
    assert found.touches(Box(x, y, width, height)) == tumours.intersects(frame)


@settings(deadline=None, max_examples=60)
@given(scenes(), st.floats(1, 30))
def test_near_is_within_the_distance(regions: list[Region], distance_px: float) -> None:
    tumours = shapely.union_all([r.geometry for r in regions if r.role == "tumour"])
    found = map_regions(regions).near(POINTS, distance_px)
    away = shapely.distance(tumours, shapely.points(POINTS))
    away = np.where(np.isnan(away), np.inf, away)
    # Round corners are drawn with 16 sides, which cut off at most 2 % of the distance.
    assert found[away < 0.98 * distance_px].all()
    assert not found[away > distance_px + 1e-6].any()
