from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.synthetic.outline import (
    centroid,
    inset,
    normals,
    resampled,
    smoothed_contour,
    wobbly_ellipse,
)

RADII = st.floats(3, 40)


def circle(radius: float, turn: int = 1, n: int = 200) -> np.ndarray:
    angle = turn * np.arange(n) * 2 * np.pi / n
    return np.stack([np.cos(angle), np.sin(angle)], 1) * radius + [7, -3]


@given(radius=RADII, turn=st.sampled_from([1, -1]), by=st.floats(-2, 2))
def test_inset_moves_a_circle_by_its_distance(radius: float, turn: int, by: float) -> None:
    moved = np.hypot(*(inset(circle(radius, turn), by) - [7, -3]).T)
    assert moved == pytest.approx(np.full(200, radius - by), abs=1e-6)


@given(radius=RADII, turn=st.sampled_from([1, -1]))
def test_normals_point_outward_whichever_way_the_ring_turns(radius: float, turn: int) -> None:
    ring = circle(radius, turn)
    assert (np.sum(normals(ring) * (ring - [7, -3]), axis=1) > 0.99 * radius).all()


@given(radius=RADII, step=st.floats(0.2, 2))
def test_resampled_has_even_steps_and_keeps_the_ring(radius: float, step: float) -> None:
    ring = resampled(circle(radius), step)
    steps = np.hypot(*(np.roll(ring, -1, 0) - ring).T)
    assert steps.max() < 1.5 * steps.min()
    assert len(ring) == max(8, round(shapely.Polygon(circle(radius)).length / step))


@given(seed=st.integers(0, 10_000), area=st.floats(10, 200), aspect=st.floats(1, 4))
def test_wobbly_ellipse_keeps_area_and_place(seed: int, area: float, aspect: float) -> None:
    polygon = shapely.Polygon(
        wobbly_ellipse(np.random.default_rng(seed), np.array([5.0, 9.0]), area, aspect, 0.7, 0.03)
    )
    assert polygon.is_valid
    assert polygon.area == pytest.approx(area, rel=0.25)
    assert polygon.centroid.distance(shapely.Point(5, 9)) < 0.2 * np.sqrt(area * aspect)


@given(seed=st.integers(0, 10_000))
def test_centroid_agrees_with_shapely(seed: int) -> None:
    ring = wobbly_ellipse(np.random.default_rng(seed), np.array([500.0, -90.0]), 60, 2.0, 0.3, 0.1)
    expected = shapely.Polygon(ring).centroid
    assert centroid(ring) == pytest.approx([expected.x, expected.y], abs=1e-6)


def test_contour_of_a_disc_has_its_area_and_place() -> None:
    y, x = np.indices((80, 90))
    ring = smoothed_contour(np.hypot(x + 0.5 - 45, y + 0.5 - 40) < 24, 0.5, 0.7)
    assert ring is not None
    polygon = shapely.Polygon(ring)
    assert polygon.area == pytest.approx(np.pi * 12**2, rel=0.02)
    assert polygon.centroid.distance(shapely.Point(22.5, 20)) < 0.1


def test_contour_of_nothing_is_none() -> None:
    assert smoothed_contour(np.zeros((9, 9), bool), 0.5, 0.7) is None
