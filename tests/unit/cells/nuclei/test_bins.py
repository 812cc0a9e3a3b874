from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qupath_her2.cells.nuclei.bins import sort_into_bins

points_xy = st.integers(1, 40).flatmap(
    lambda n: arrays(np.float64, (n, 2), elements=st.integers(0, 100 * 16).map(lambda v: v / 16))
)


@given(points_xy, st.sampled_from([3.0, 16.0, 37.5]))
def test_every_near_point_lies_in_the_bins_around(points: np.ndarray, side_px: float) -> None:
    order, first, columns = sort_into_bins(points, side_px)
    assert sorted(order) == list(range(len(points)))
    away = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    for i, (x, y) in enumerate(points):
        cells = [
            int(y / side_px) * columns + int(x / side_px) + dy * columns + dx
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ]
        near = [int(j) for c in cells if 0 <= c < len(first) - 1 for j in order[first[c] : first[c + 1]]]
        # Each of them once: two bins never share a number.
        assert len(set(near)) == len(near)
        assert set(np.flatnonzero(away[i] <= side_px)) <= set(near)
