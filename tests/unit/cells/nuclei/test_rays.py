from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.cells.nuclei.rays import place_samples, ray_offsets, read_pairs, read_samples
from qupath_her2.cells.nuclei.star_contours import bilinear

RADII = (0.5 + 0.7 * np.arange(9)).astype(np.float32)
SHAPE = (12, 20)


def placed(x: float, y: float, n_angles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = n_angles * len(RADII)
    index, u, v = np.empty(size, np.int32), np.empty(size, np.float32), np.empty(size, np.float32)
    place_samples(SHAPE, (x, y), ray_offsets(RADII, n_angles), index, u, v)
    return index, u, v


@given(st.floats(-4, 24), st.floats(-4, 16), st.integers(1, 7))
def test_rays_read_what_single_samples_read(x: float, y: float, n_angles: int) -> None:
    plane = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    values = np.empty(n_angles * len(RADII), np.float32)
    read_samples(plane.reshape(-1), SHAPE[1], *placed(x, y, n_angles), values)
    angle = np.repeat(2 * np.pi * np.arange(n_angles) / n_angles, len(RADII))
    radius = np.tile(RADII, n_angles)
    places = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], -1)
    single = [bilinear(plane, float(px), float(py)) for px, py in places]
    # Positions outside the plane are moved to slightly different places just inside it.
    assert values == pytest.approx(np.array(single), abs=1e-2)


@given(st.floats(-4, 24), st.floats(-4, 16))
def test_pairs_are_read_as_each_plane_alone(x: float, y: float) -> None:
    planes = np.random.default_rng(2).normal(size=(2, *SHAPE)).astype(np.float32)
    where = placed(x, y, 5)
    apart, pair = np.empty((2, 5 * len(RADII)), np.float32), np.empty((2, 5 * len(RADII)), np.float32)
    for plane, values in zip(planes, apart, strict=True):
        read_samples(plane.reshape(-1), SHAPE[1], *where, values)
    read_pairs(np.ascontiguousarray(planes.transpose(1, 2, 0)).reshape(-1), SHAPE[1], *where, *pair)
    assert pair == pytest.approx(apart, abs=1e-6)
