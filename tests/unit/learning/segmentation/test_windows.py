from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.learning.segmentation.windows import reflected_indices, window_lattice
from qupath_her2.models.settings import SegmentSettings

SHARES = st.floats(0, 0.5)


@given(side=st.integers(16, 300), overlap=SHARES, rim=st.floats(0, 0.5))
def test_weights_add_up_to_one_everywhere(side: int, overlap: float, rim: float) -> None:
    lattice = window_lattice(side, SegmentSettings(overlap_share=overlap, rim_share=rim * overlap / 2))
    total = np.zeros(5 * lattice.stride + side)
    for k in range(6):
        total[k * lattice.stride : k * lattice.stride + side] += lattice.weight
    whole = total[side:-side]
    assert whole == pytest.approx(1, abs=1e-6)


def test_weights_are_0_at_the_rim_and_1_in_the_middle() -> None:
    lattice = window_lattice(251, SegmentSettings(overlap_share=0.25, rim_share=0.04))
    assert lattice.stride == 251 - 62
    assert (lattice.weight[:10] == 0).all()
    assert (lattice.weight[-10:] == 0).all()
    assert (lattice.weight[62:-62] == 1).all()
    assert (np.diff(lattice.weight[10:52]) > 0).all()
    # Smooth: a raised cosine over 42 px rises by at most 4 % per pixel.
    assert np.abs(np.diff(lattice.weight)).max() < 0.04


@given(side=st.integers(16, 120), overlap=SHARES, low=st.integers(-500, 500), length=st.integers(1, 400))
def test_covering_returns_every_window_with_a_weight(
    side: int, overlap: float, low: int, length: int
) -> None:
    lattice = window_lattice(side, SegmentSettings(overlap_share=overlap, rim_share=overlap / 8))
    found = lattice.covering(low, low + length)
    counts = [
        k
        for k in range(-100, 100)
        if any(
            lattice.weight[x - k * lattice.stride] > 0
            for x in range(max(low, k * lattice.stride), min(low + length, k * lattice.stride + side))
        )
    ]
    assert list(found) == counts


@given(size=st.integers(1, 20), before=st.integers(0, 60), after=st.integers(0, 60))
def test_pixels_beyond_the_edge_are_reflected(size: int, before: int, after: int) -> None:
    row = np.arange(size)
    assert (
        row[reflected_indices(-before, size + after, size)] == np.pad(row, (before, after), mode="symmetric")
    ).all()
