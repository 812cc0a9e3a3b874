from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.cells.nuclei.rays import place_rays, read_rays, start_rays
from qupath_her2.cells.nuclei.star_contours import bilinear


@given(st.floats(-4, 24), st.floats(-4, 16), st.floats(0, 2 * np.pi), st.floats(0.2, 2))
def test_rays_read_what_single_samples_read(x: float, y: float, angle: float, step: float) -> None:
    plane = np.random.default_rng(1).normal(size=(12, 20)).astype(np.float32)
    turns = np.array([angle, angle + 1, angle + 2])
    cosine, sine = np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32)
    index, u, v = np.empty((9, 3), np.int32), np.empty((9, 3), np.float32), np.empty((9, 3), np.float32)
    whole, part = np.empty((2, 3), np.int32), np.empty((2, 3), np.float32)
    start_rays((x, y), 0, 3, whole, part)
    place_rays(plane.shape, whole, part, cosine, sine, (0.5, step), index, u, v)
    values = np.empty((9, 3), np.float32)
    read_rays(plane.reshape(-1), 20, index, u, v, values)
    radius = 0.5 + step * np.arange(9)[:, None]
    places = np.stack([x + radius * cosine, y + radius * sine], -1).reshape(-1, 2)
    single = [bilinear(plane, float(px), float(py)) for px, py in places]
    assert values.ravel() == pytest.approx(np.array(single), abs=1e-4)
