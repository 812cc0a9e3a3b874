"""Decisions by the published table at its limits, in its overlaps and gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.errors import ScoringError, SettingsError
from qupath_her2.scoring.indicators.ranges import (
    PUBLISHED,
    IndicatorRanges,
    decide,
    nearest_by_ratios,
)

ALONE = ("intensity",)
NAN = float("nan")


@pytest.mark.parametrize(
    ("intensity", "score"),
    [
        (0.0, "0"),
        (0.0059, "0"),
        (0.0081, "1+"),
        (0.145, "1+"),
        (0.190, "2+"),
        (0.367, "2+"),
        (0.541, "3+"),
        (0.611, "3+"),
        (0.95, "3+"),  # browner than any slide seen
        # the gap 0.367 to 0.541: the nearer edge
        (0.453, "2+"),
        (0.455, "3+"),
        # overlaps: the nearer middle (0.0975 of 1+, 0.2565 of 2+; 0.004 of 0)
        (0.150, "1+"),
        (0.176, "1+"),
        (0.178, "2+"),
        (0.007, "0"),
    ],
)
def test_intensity_alone(intensity, score):
    assert decide((intensity, NAN, NAN), use=ALONE).score == score
    # Ratios are not looked at.
    assert decide((intensity, 0.9, 0.9), use=ALONE).score == score


@pytest.mark.parametrize(
    ("values", "score", "candidates", "by"),
    [
        ((0.007, 0.02, 0.0), "0", ("0", "1+"), "cell ratios"),
        ((0.007, 0.02, 0.1), "1+", ("0", "1+"), "cell ratios"),
        ((0.16, 0.10, 0.2), "1+", ("1+", "2+"), "cell ratios"),
        ((0.16, 0.20, 0.6), "2+", ("1+", "2+"), "cell ratios"),
        ((0.40, 0.15, 0.6), "2+", ("2+", "3+"), "cell ratios"),
        ((0.40, 0.33, 0.9), "3+", ("2+", "3+"), "cell ratios"),
        ((0.40, 0.90, 0.5), "3+", ("2+", "3+"), "cell ratios"),
        # both ranges of both ratios hold: the gap's nearer edge decides
        ((0.40, 0.20, 0.6), "2+", ("2+", "3+"), "nearest range"),
        ((0.50, 0.20, 0.6), "3+", ("2+", "3+"), "nearest range"),
        ((0.40, NAN, NAN), "2+", ("2+", "3+"), "nearest range"),
        # one candidate: the ratios cannot overrule the intensity
        ((0.30, 0.0, 0.0), "2+", ("2+",), "intensity"),
    ],
)
def test_all_three(values, score, candidates, by):
    decision = decide(values)
    assert (decision.score, decision.candidates, decision.by) == (score, candidates, by)
    assert decision.margin >= 0


def test_the_middle_of_every_published_range_is_its_score():
    for grade, score in enumerate(("0", "1+", "2+", "3+")):
        middle = [sum(PUBLISHED.ranges[name][grade]) / 2 for name in PUBLISHED.ranges]
        assert decide(middle).score == score


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_browner_is_never_scored_lower_by_intensity(first, second, positive, closed):
    low, high = sorted((first, second))
    assert (
        decide((low, positive, closed), use=ALONE).score <= decide((high, positive, closed), use=ALONE).score
    )


def test_scores_nearest_by_the_ratios_alone():
    assert nearest_by_ratios((0.3, 0.02, 0.0)) == ("0",)
    assert nearest_by_ratios((0.3, 0.20, 0.5)) == ("2+", "3+")
    assert len(nearest_by_ratios((0.3, NAN, NAN))) == 4


@pytest.mark.parametrize("values", [(0.1, 0.1), (1.1, 0.1, 0.1), (-0.1, 0.1, 0.1), (NAN, 0.1, 0.1)])
def test_impossible_values(values):
    with pytest.raises(
        ScoringError, match=r"Expected intensity, positive_ratio, circumferential_ratio, each 0\.\.1; got"
    ):
        decide(values)


def test_ranges_are_checked():
    with pytest.raises(SettingsError, match=r"circumferential_ratio needs four \(minimum, maximum\) pairs"):
        IndicatorRanges(
            "short", dict.fromkeys(("intensity", "positive_ratio"), PUBLISHED.ranges["intensity"]), 1
        )
