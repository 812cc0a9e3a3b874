from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import Polygon
from shapely.affinity import affine_transform

from qupath_her2.errors import SettingsError
from qupath_her2.patches.cutting.labels import (
    LabelledRegions,
    LabelRule,
    label_boxes,
    label_regions,
    overlap_shares,
)
from qupath_her2.records import Region, RegionRole

ANY = LabelRule("overlap", 1e-6)


def region(
    number: int, shape: shapely.Geometry, role: RegionRole = "tumour", class_name: str | None = None
) -> Region:
    return Region(UUID(int=number), shape, role, class_name)


def square(x: float, y: float, side: float) -> Polygon:
    return shapely.box(x, y, x + side, y + side)


def made_regions(*shapes: tuple[shapely.Geometry, int]) -> LabelledRegions:
    regions = [region(i + 1, shape) for i, (shape, _) in enumerate(shapes)]
    return label_regions(regions, [label for _, label in shapes])


def one(x: int, y: int, side: int = 10) -> np.ndarray:
    return np.array([[x, y, side, side]], np.int32)


blobs = st.builds(
    lambda x, y, r, k: shapely.Point(x, y).buffer(r, quad_segs=k),
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(2, 50),
    st.integers(1, 6),
)


@st.composite
def drawn_regions(draw: st.DrawFn) -> tuple[list[Region], list[int | None]]:
    shapes = draw(st.lists(blobs, min_size=1, max_size=6))
    regions, labels = [], []
    for number, shape in enumerate(shapes):
        role = draw(st.sampled_from(["tumour", "tumour", "ignore", "stroma"]))
        if draw(st.booleans()):
            hole = shapely.Point(shape.centroid).buffer(1.5)
            shape = shape.difference(hole)
        regions.append(region(number + 1, shape, role))
        labels.append(draw(st.integers(-1, 2)) if role == "tumour" else None)
    return regions, labels


LATTICE = np.array([[x, y, 13, 13] for y in range(-5, 110, 11) for x in range(-5, 110, 11)], np.int32)


def owner_of(point: shapely.Point, regions: list[Region]) -> Region | None:
    """The rule in words, one point at a time: what subtracts wins, then the smallest that holds the point."""
    holding = [r for r in regions if shapely.contains_xy(r.geometry, point.x, point.y)]
    if any(r.role in ("ignore", "in_situ", "control") for r in holding):
        return None
    return min(holding, key=lambda r: (r.geometry.area, r.uuid.int), default=None)


@settings(max_examples=60, deadline=None)
@given(drawn=drawn_regions(), seed=st.integers(0, 99))
def test_every_point_belongs_to_the_innermost_region(drawn: tuple, seed: int) -> None:
    regions, labels = drawn
    made = label_regions(regions, labels)
    by_region = {r.uuid.bytes: label for r, label in zip(regions, labels, strict=True)}
    for xy in np.random.default_rng(seed).random((40, 2)) * 110:
        point = shapely.Point(xy)
        if any(r.geometry.boundary.distance(point) < 1e-6 for r in regions):
            continue
        holder = owner_of(point, regions)
        got = [i for i, shape in enumerate(made.shapes) if shape.covers(point)]
        if holder is None or by_region[holder.uuid.bytes] is None:
            assert got == []
        else:
            assert [made.uuid[i].tobytes() for i in got] == [holder.uuid.bytes]
            assert made.label[got[0]] == by_region[holder.uuid.bytes]


@settings(max_examples=60, deadline=None)
@given(shapes=st.lists(blobs, max_size=5))
def test_shares_are_those_of_shapely(shapes: list[Polygon]) -> None:
    box, shape, share = overlap_shares(LATTICE, shapes)
    got = np.zeros((len(LATTICE), len(shapes)))
    got[box, shape] = share
    for i, (x, y, w, h) in enumerate(LATTICE.tolist()):
        rectangle = shapely.box(x, y, x + w, y + h)
        for j, polygon in enumerate(shapes):
            assert got[i, j] == pytest.approx(polygon.intersection(rectangle).area / (w * h), abs=1e-9)


def test_shares_of_a_shape_with_many_vertices_are_the_same() -> None:
    angle = np.linspace(0, 2 * np.pi, 4001)[:-1]
    radius = 45 + 8 * np.sin(37 * angle)
    star = Polygon(np.stack([50 + radius * np.cos(angle), 50 + radius * np.sin(angle)], 1))
    shape = star.difference(square(40, 40, 11))
    box, _, share = overlap_shares(LATTICE, [shape])
    got = np.zeros(len(LATTICE))
    got[box] = share
    x, y, w, h = LATTICE.T
    want = shapely.area(shapely.intersection(shape, shapely.box(x, y, x + w, y + h))) / (w * h)
    assert np.abs(got - want).max() < 1e-9
    assert (got == 1).sum() > 5
    assert (got == 0).sum() > 5


@settings(max_examples=40, deadline=None)
@given(drawn=drawn_regions(), rule=st.sampled_from(["overlap", "majority", "contained"]))
def test_labels_are_those_of_brute_force(drawn: tuple, rule: str) -> None:
    regions, labels = drawn
    made = label_regions(regions, labels)
    got = label_boxes(LATTICE, made, LabelRule(rule))
    for i, (x, y, w, h) in enumerate(LATTICE.tolist()):
        rectangle = shapely.box(x, y, x + w, y + h)
        shares = [shape.intersection(rectangle).area / (w * h) for shape in made.shapes]
        by_class = {}
        for label, share in zip(made.label.tolist(), shares, strict=True):
            by_class[label] = by_class.get(label, 0.0) + share
        best = max(by_class.values(), default=0.0)
        assert got.overlap[i] == pytest.approx(best, abs=1e-6)
        assert got.meets_region[i] == (best > 0)
        if best < 1e-9:
            continue
        assert by_class[int(got.label[i])] == pytest.approx(best, abs=1e-6)
        limit = {"overlap": 0.05, "majority": 0.5, "contained": 1.0}[rule]
        if abs(best - limit) > 1e-6:
            assert got.passes_rule[i] == (best > limit)
        from_uuid = [j for j in range(len(shares)) if made.uuid[j].tobytes() == got.uuid[i].tobytes()]
        own = [shares[j] for j in range(len(shares)) if made.label[j] == got.label[i]]
        assert shares[from_uuid[0]] == pytest.approx(max(own), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(drawn=drawn_regions(), turns=st.integers(1, 3))
def test_rotating_the_image_rotates_the_labels(drawn: tuple, turns: int) -> None:
    regions, labels = drawn
    # Which of two all but equal areas is smaller is a matter of last digits, and turning changes those.
    areas = np.unique([region.geometry.area for region in regions])
    assume((np.diff(areas) > 1e-6).all())
    side = 104
    boxes = np.array([[x, y, 13, 13] for y in range(0, side, 13) for x in range(0, side, 13)], np.int32)
    upright = label_boxes(boxes, label_regions(regions, labels), LabelRule("overlap"))
    for _ in range(turns):
        x, y, w, h = boxes.T
        boxes = np.stack([side - y - h, x, h, w], axis=1).astype(np.int32)
        regions = [
            Region(r.uuid, affine_transform(r.geometry, [0, -1, 1, 0, side, 0]), r.role) for r in regions
        ]
    lying = label_boxes(boxes, label_regions(regions, labels), LabelRule("overlap"))
    assert np.allclose(upright.overlap, lying.overlap, atol=1e-6)
    clear = np.abs(upright.overlap - 0.05) > 1e-6
    assert np.array_equal(upright.passes_rule[clear], lying.passes_rule[clear])
    # A box that a region only touches may hold a sliver of it, or none.
    held = upright.overlap > 1e-6
    assert np.array_equal(held, lying.overlap > 1e-6)
    assert not held.any() or (upright.label == lying.label)[held].mean() > 0.98


@pytest.mark.parametrize(
    ("covered", "overlap", "majority", "contained"),
    [
        (0.4, False, False, False),
        (0.5, True, False, False),
        (4.9, True, False, False),
        (5.0, True, False, False),
        (5.1, True, True, False),
        (9.9, True, True, False),
        (10.0, True, True, True),
        (12.0, True, True, True),
    ],
)
def test_the_three_rules_at_their_edges(
    covered: float, overlap: bool, majority: bool, contained: bool
) -> None:
    made = made_regions((shapely.box(0, -5, covered, 20), 2))
    found = {
        rule: bool(label_boxes(one(0, 0), made, LabelRule(rule)).passes_rule[0])
        for rule in ("overlap", "majority", "contained")
    }
    assert found == {"overlap": overlap, "majority": majority, "contained": contained}


def test_a_hole_is_subtracted() -> None:
    shape = square(0, 0, 30).difference(square(10, 10, 10))
    made = made_regions((shape, 1))
    assert not label_boxes(one(10, 10), made, ANY).meets_region[0]
    assert label_boxes(one(8, 10), made, ANY).overlap[0] == pytest.approx(0.2)


def test_ignore_regions_are_subtracted_whatever_their_size() -> None:
    regions = [region(1, square(10, 10, 10)), region(2, square(0, 0, 16), "ignore")]
    got = label_boxes(one(10, 10), label_regions(regions, [0, 0]), ANY)
    assert got.overlap[0] == pytest.approx(0.64)


def test_shares_of_one_class_add_up_and_the_larger_region_is_named() -> None:
    made = made_regions((shapely.box(0, 0, 4, 10), 1), (shapely.box(4, 0, 10, 10), 1))
    got = label_boxes(one(0, 0), made, LabelRule("contained"))
    assert got.passes_rule[0]
    assert UUID(bytes=got.uuid[0].tobytes()).int == 2


def test_ties_go_to_the_first_class_and_unlabelled_regions_come_last() -> None:
    halves = shapely.box(0, 0, 5, 10), shapely.box(5, 0, 10, 10)
    assert label_boxes(one(0, 0), made_regions((halves[0], 2), (halves[1], 1)), ANY).label[0] == 1
    assert label_boxes(one(0, 0), made_regions((halves[0], -1), (halves[1], 2)), ANY).label[0] == 2
    mostly = made_regions((shapely.box(0, 0, 6, 10), -1), (shapely.box(6, 0, 10, 10), 2))
    assert label_boxes(one(0, 0), mostly, ANY).label[0] == -1


def test_the_order_of_regions_does_not_matter() -> None:
    regions = [region(1, square(0, 0, 40)), region(2, square(10, 10, 10)), region(3, square(12, 12, 4))]
    boxes = LATTICE
    straight = label_boxes(boxes, label_regions(regions, [0, 1, 2]), ANY)
    back = label_boxes(boxes, label_regions(regions[::-1], [2, 1, 0]), ANY)
    assert np.array_equal(straight.label, back.label)
    assert np.array_equal(straight.uuid, back.uuid)


def test_without_regions_nothing_is_labelled() -> None:
    empty = label_regions([], [])
    assert empty.bounds() is None
    got = label_boxes(LATTICE, empty, ANY)
    assert not got.meets_region.any()
    assert (got.label == -1).all()
    no_boxes = label_boxes(np.zeros((0, 4), np.int32), made_regions((square(0, 0, 5), 0)), ANY)
    assert no_boxes.label.shape == (0,)


def test_bounds_are_those_of_the_remaining_area() -> None:
    regions = [region(1, shapely.box(0, 0, 20, 10)), region(2, shapely.box(10, -1, 30, 11), "ignore")]
    assert label_regions(regions, [0, None]).bounds() == (0, 0, 10, 10)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_an_invalid_min_overlap_is_refused(share: float) -> None:
    with pytest.raises(SettingsError, match=r"min_overlap is .* above 0, at most 1"):
        LabelRule("overlap", share)
