from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.cells.membrane.grading import (
    Estimates,
    GradingSettings,
    estimate_membranes,
    grade,
    is_lateral,
)
from qupath_her2.cells.membrane.profile_features import FEATURE_NAMES
from qupath_her2.cells.membrane.radial_profiles import RadialProfiles
from qupath_her2.records import INTENSITIES, NOT_MEASURED, PATTERNS

CUTS = GradingSettings(
    faint_od=0.05, moderate_od=0.2, intense_od=0.4, min_completeness=0.1, complete_from=0.8, lateral_from=0.3
)


def estimates(*rows: tuple[float, float, bool]) -> Estimates:
    own_od, completeness, lateral = zip(*rows, strict=True)
    return Estimates(
        np.array(own_od, np.float32), np.array(completeness, np.float32), np.array(lateral, bool)
    )


@pytest.mark.parametrize(
    ("own_od", "completeness", "lateral", "intensity", "pattern"),
    [
        (0.04, 1.0, False, "none", "none"),
        (0.06, 0.5, False, "faint", "incomplete"),
        (0.06, 0.9, False, "faint", "complete"),
        (0.21, 0.79, False, "moderate", "incomplete"),
        (0.21, 0.81, False, "moderate", "complete"),
        (0.41, 1.0, False, "intense", "complete"),
        (0.41, 0.5, True, "intense", "lateral or basolateral"),
        # A complete membrane is complete even if one side is stronger.
        (0.41, 0.9, True, "intense", "complete"),
        (0.41, 0.2, True, "intense", "incomplete"),
        # Less than a tenth of the outline is no membrane staining.
        (0.41, 0.09, False, "none", "none"),
    ],
)
def test_intensity_and_pattern_by_the_cut_points(
    own_od: float, completeness: float, lateral: bool, intensity: str, pattern: str
) -> None:
    found = grade(estimates((own_od, completeness, lateral)), CUTS)
    assert (INTENSITIES[found[0][0]], PATTERNS[found[1][0]]) == (intensity, pattern)


@pytest.mark.parametrize("values", [(np.nan, 0.5), (0.3, np.nan), (np.nan, np.nan)])
def test_unmeasured_cells_are_not_graded(values: tuple[float, float]) -> None:
    intensity, pattern = grade(estimates((*values, True), (0.3, 0.9, False)), CUTS)
    assert (intensity[0], pattern[0]) == (NOT_MEASURED, NOT_MEASURED)
    assert (intensity[1], pattern[1]) == (2, 3)


@given(
    st.lists(st.tuples(st.floats(0, 1.2), st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
    st.floats(-0.3, 0.3),
)
def test_shift_moves_only_the_density_cut_points(rows: list, shift: float) -> None:
    found = grade(estimates(*rows), CUTS, shift)
    moved = GradingSettings(
        0.05 * (1 + shift), 0.2 * (1 + shift), 0.4 * (1 + shift), min_completeness=0.1, complete_from=0.8,
        lateral_from=0.3,
    )  # fmt: skip
    expected = grade(estimates(*rows), moved)
    assert [v.tolist() for v in found] == [v.tolist() for v in expected]


@given(st.lists(st.tuples(st.floats(0, 1.2), st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_higher_cut_points_never_raise_an_intensity_and_none_has_no_pattern(rows: list) -> None:
    low, (here, pattern), high = (grade(estimates(*rows), CUTS, shift) for shift in (-0.1, 0.0, 0.1))
    assert (low[0] >= here).all()
    assert (here >= high[0]).all()
    assert ((here == 0) == (pattern == 0)).all()


def stained(*sectors: int) -> RadialProfiles:
    step = np.zeros((1, 36), np.float32)
    step[0, list(sectors)] = 0.3
    zero = np.zeros((1, 36), np.float32)
    return RadialProfiles(step, zero, zero, zero, zero, zero, zero, zero)


@pytest.mark.parametrize(
    ("where", "lateral"),
    [
        (range(0, 18), True),  # basolateral: one side
        (range(30, 42), True),  # the same across angle zero
        ([*range(4, 13), *range(22, 31)], True),  # lateral: two opposite sides
        (range(0, 36), False),  # all round
        (range(0, 36, 2), False),  # granular, everywhere
        ([*range(0, 6), *range(12, 18), *range(24, 30)], False),  # three sides
        (range(0, 32), False),  # nearly all round
    ],
)
def test_lateral_is_one_side_or_two_opposite_sides(where: list[int], lateral: bool) -> None:
    assert is_lateral(stained(*(a % 36 for a in where))).tolist() == [lateral]


def test_estimates_lie_in_range_for_any_features() -> None:
    rng = np.random.default_rng(0)
    rings = rng.normal(0, 2, (200, 36, len(FEATURE_NAMES))).astype(np.float16)
    sectors = RadialProfiles(*rng.uniform(0, 1, (8, 200, 36)).astype(np.float32))
    found = estimate_membranes(rings, sectors)
    assert (found.own_od >= 0).all()
    assert ((found.completeness >= 0) & (found.completeness <= 1)).all()
    assert found.own_od.dtype == found.completeness.dtype == np.float32
    nothing = estimate_membranes(rings[:0], RadialProfiles(*np.zeros((8, 0, 36), np.float32)))
    assert [len(v) for v in (nothing.own_od, nothing.completeness, nothing.lateral)] == [0, 0, 0]
