from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.patches.cutting.labels import label_regions
from qupath_her2.records import Box, Region
from qupath_her2.regions import (
    OUTSIDE,
    SUBTRACTING,
    exclusive_areas,
    map_regions,
    overlapping_tumour,
    shown_name,
    tumour_mask,
)
from qupath_her2.report.overlay import Frame

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


#: Between whole numbers, so that no point lies on an outline.
POINTS = np.stack(np.meshgrid(np.arange(-2.5, 104, 3), np.arange(-2.5, 104, 3)), -1).reshape(-1, 2)


def owner(regions: list[Region], x: float, y: float) -> int:
    """The rule written out, one point at a time: subtracting regions first, then the smallest that holds it."""
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


def test_a_hole_belongs_to_the_region_around_it() -> None:
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


#: Nested regions on a 100 x 100 px image, and the pixels that are tumour, by hand.
NESTED = {
    "one tumour region": ([("tumour", 0, 0, 100, 100)], 10_000),
    "stroma inside tumour": ([("tumour", 0, 0, 100, 100), ("stroma", 20, 20, 80, 80)], 6_400),
    "tumour inside stroma inside tumour": (
        [("tumour", 0, 0, 100, 100), ("stroma", 20, 20, 80, 80), ("tumour", 40, 40, 60, 60)],
        6_800,
    ),
    "tumour inside stroma": ([("stroma", 0, 0, 100, 100), ("tumour", 40, 40, 60, 60)], 400),
    "tumour inside ignore inside tumour": (
        [("tumour", 0, 0, 100, 100), ("ignore", 20, 20, 80, 80), ("tumour", 40, 40, 60, 60)],
        6_400,
    ),
    "ignore larger than the tumour region": (
        [("tumour", 40, 40, 60, 60), ("ignore", 0, 0, 50, 100)],
        200,
    ),
    "in situ inside stroma inside tumour": (
        [("tumour", 0, 0, 100, 100), ("stroma", 20, 20, 80, 80), ("in_situ", 40, 40, 60, 60)],
        6_400,
    ),
    "control beside tumour": ([("tumour", 0, 0, 50, 100), ("control", 50, 0, 100, 100)], 5_000),
    "two overlapping tumour regions": (
        [("tumour", 0, 0, 60, 100), ("tumour", 40, 0, 100, 50)],
        8_000,
    ),
    "a region that decides nothing": ([("tumour", 0, 0, 100, 100), ("other", 20, 20, 80, 80)], 10_000),
    "no tumour region": ([("stroma", 0, 0, 100, 100)], 0),
}


@pytest.mark.parametrize("case", NESTED, ids=str)
def test_cells_patches_and_indicators_agree_on_nested_regions(case: str) -> None:
    boxes, expected = NESTED[case]
    regions = [region(i + 1, shapely.box(*corners), role) for i, (role, *corners) in enumerate(boxes)]
    y, x = np.mgrid[0:100, 0:100] + 0.5
    by_cell = map_regions(regions).assign(np.stack([x.ravel(), y.ravel()], 1)) != OUTSIDE
    by_pixel = tumour_mask(regions, (100, 100), Frame(0, 0, 1.0).to_picture)
    deciding = [r for r in regions if r.role != "other"]
    labelled = label_regions(deciding, [0 if r.role == "tumour" else None for r in deciding])
    assert int(by_cell.sum()) == expected
    assert sum(shape.area for shape in labelled.shapes) == expected
    # Indicators work at 8 µm per pixel: OpenCV also fills the pixels that an outline runs through.
    assert abs(int(by_pixel.sum()) - expected) <= 2 * sum(r.geometry.length for r in regions)
    inside, outside = _interior(regions, "tumour"), _interior(regions, "none")
    assert by_pixel[inside].all()
    assert not by_pixel[outside].any()


def _interior(regions: list[Region], wanted: str) -> np.ndarray:
    """bool (100, 100), pixels at least 2 px from every outline whose owner by `owner` is (or is not) tumour."""
    edges = shapely.union_all([r.geometry.boundary for r in regions]).buffer(2)
    y, x = np.mgrid[0:100, 0:100] + 0.5
    is_tumour = [owner(regions, a, b) != OUTSIDE for a, b in zip(x.ravel(), y.ravel(), strict=True)]
    near = shapely.contains_xy(edges, x, y)
    return (np.reshape(is_tumour, (100, 100)) == (wanted == "tumour")) & ~near


@settings(deadline=None, max_examples=60)
@given(scenes())
def test_exclusive_areas_partition_the_union(regions: list[Region]) -> None:
    deciding = [r for r in regions if r.role != "other"]
    areas = exclusive_areas(deciding)
    total = shapely.union_all([r.geometry for r in deciding]).area
    assert sum(a.area for a in areas) == pytest.approx(total, abs=1e-6)
    # All coordinates are whole numbers, so an area is the number of unit squares whose centres it owns.
    y, x = np.mgrid[0:101, 0:101] + 0.5
    holding = np.array([shapely.contains_xy(r.geometry, x, y) for r in deciding]).reshape(
        len(deciding), x.size
    )
    rank = {(r.role not in SUBTRACTING, r.geometry.area, r.uuid.int): i for i, r in enumerate(deciding)}
    owned = np.zeros(len(deciding))
    for square in holding.T:
        winner = next((i for _, i in sorted(rank.items()) if square[i]), None)
        if winner is not None:
            owned[winner] += 1
    assert [a.area for a in areas] == pytest.approx(owned.tolist(), abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(scenes())
def test_patches_and_cells_agree(regions: list[Region]) -> None:
    deciding = [r for r in regions if r.role != "other"]
    labelled = label_regions(deciding, [0 if r.role == "tumour" else None for r in deciding])
    by_area = np.zeros(len(POINTS), bool)
    for shape in labelled.shapes:
        by_area |= shapely.contains_xy(shape, POINTS[:, 0], POINTS[:, 1])
    assert np.array_equal(by_area, map_regions(regions).assign(POINTS) != OUTSIDE)


def test_the_mask_has_the_area_of_its_region() -> None:
    hole = shapely.Polygon(
        [(0, 0), (100, 0), (100, 100), (0, 100)], [[(20, 20), (40, 20), (40, 40), (20, 40)]]
    )
    mask = tumour_mask([region(1, hole)], (100, 200), Frame(0, 0, 1.0).to_picture)
    assert abs(int(mask.sum()) - hole.area) < 0.04 * hole.area
    assert not mask[30, 30]
    assert not mask[:, 110:].any()


def test_subtracting_regions_win_in_any_order() -> None:
    tumour, ignored = region(1, shapely.box(0, 0, 100, 100)), region(2, shapely.box(0, 0, 50, 100), "ignore")
    masks = [
        tumour_mask(both, (100, 100), Frame(0, 0, 1.0).to_picture)
        for both in ([tumour, ignored], [ignored, tumour])
    ]
    assert np.array_equal(*masks)
    assert masks[0][50, 60]
    assert not masks[0][50, 40]


def test_overlapping_tumour_regions_are_paired_with_the_owner_first() -> None:
    large, small = region(1, shapely.box(0, 0, 50, 50)), region(2, shapely.box(40, 40, 60, 60))
    beside = region(3, shapely.box(50, 0, 80, 39))
    ignored = region(4, shapely.box(0, 0, 60, 60), "ignore")
    assert overlapping_tumour([large, small, beside, ignored]) == [(small, large)]
    assert overlapping_tumour([ignored]) == []


@given(scenes())
def test_overlaps_are_those_of_each_pair(regions: list[Region]) -> None:
    tumour = [one for one in regions if one.role == "tumour"]
    expected = {
        frozenset((one.uuid, other.uuid))
        for one in tumour
        for other in tumour
        if one is not other and one.geometry.intersection(other.geometry).area > 1
    }
    assert {frozenset((one.uuid, other.uuid)) for one, other in overlapping_tumour(regions)} == expected


def test_a_region_without_a_name_is_called_by_class_and_number() -> None:
    assert shown_name("Nest A", "Tumor", 2) == "Nest A"
    assert shown_name(None, "Tumor", 2) == "Tumor 2"
    assert shown_name("", None, 1) == "Region 1"
