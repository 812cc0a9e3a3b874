from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.records import INTENSITIES, PATTERNS
from qupath_her2.synthetic.cells import class_of, stained_angles

#: (intensity, pattern) -> class, written out from the guideline.
READING = {
    ("none", "none"): 0,
    ("faint", "incomplete"): 1,
    ("faint", "lateral or basolateral"): 1,
    ("faint", "complete"): 2,
    ("moderate", "incomplete"): 2,
    ("moderate", "lateral or basolateral"): 2,
    ("moderate", "complete"): 2,
    ("intense", "incomplete"): 2,
    ("intense", "lateral or basolateral"): 2,
    ("intense", "complete"): 3,
}


@pytest.mark.parametrize(("facts", "expected"), READING.items())
def test_class_follows_the_guideline(facts: tuple[str, str], expected: int) -> None:
    intensity = np.array([INTENSITIES.index(facts[0])], np.uint8)
    assert class_of(intensity, np.array([PATTERNS.index(facts[1])], np.uint8))[0] == expected


@given(seed=st.integers(0, 10_000), pattern=st.integers(1, 3), share=st.floats(0.1, 1), axis=st.floats(-7, 7))
def test_stained_angles_hold_the_share(seed: int, pattern: int, share: float, axis: float) -> None:
    stained = stained_angles(np.random.default_rng(seed), pattern, share, axis)
    assert stained.shape == (360,)
    assert stained.mean() == pytest.approx(share, abs=2 / 360)


@given(seed=st.integers(0, 1000), axis=st.floats(0, 2 * np.pi))
def test_lateral_staining_leaves_the_apex_free(seed: int, axis: float) -> None:
    stained = stained_angles(np.random.default_rng(seed), PATTERNS.index("lateral or basolateral"), 0.5, axis)
    apex = (round(np.degrees(axis)) + np.arange(-20, 21)) % 360
    assert not stained[apex].any()


@given(seed=st.integers(0, 1000), share=st.floats(0.15, 0.65))
def test_broken_membranes_lie_in_up_to_four_arcs(seed: int, share: float) -> None:
    stained = stained_angles(np.random.default_rng(seed), PATTERNS.index("incomplete"), share, 0.0)
    assert 1 <= np.sum(stained & ~np.roll(stained, 1)) <= 4
