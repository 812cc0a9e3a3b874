"""Intervals, noise floor and H-score against published values, scipy and hand calculation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.intervals import (
    complete_share,
    false_call_limit,
    h_score,
    percent_text,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # Newcombe 1998, table I, method 3 (Wilson without continuity correction).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_printed_values(k, n, low, high):
    assert wilson_interval(k, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(case):
    k, n = case
    peer = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(k, n) == pytest.approx((peer.low, peer.high), abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(k, n):
    with pytest.raises(ScoringError, match="proportion needs 0 <= k <= n"):
        wilson_interval(k, n)


@given(n=st.integers(1, 20_000), floor=st.sampled_from([0.0005, 0.002, 0.005, 0.01, 0.05]))
def test_false_call_limit_is_the_binomial_quantile(n, floor):
    limit = false_call_limit(n, floor)
    assert limit == int(binom.ppf(0.975, n, floor))
    assert binom.cdf(limit, n, floor) >= 0.975
    assert limit == 0 or binom.cdf(limit - 1, n, floor) < 0.975


def test_false_call_limit_edges():
    assert false_call_limit(5000, 0.0) == 0
    with pytest.raises(ScoringError, match="noise floor"):
        false_call_limit(0, 0.005)
    with pytest.raises(ScoringError, match="floor = 1"):
        false_call_limit(10, 1)


def test_h_score_by_hand():
    assert h_score([50, 20, 20, 10]) == 20 + 2 * 20 + 3 * 10
    assert h_score([0, 0, 0, 7]) == 300
    assert h_score([7, 0, 0, 0]) == 0
    with pytest.raises(ScoringError):
        h_score([0, 0, 0, 0])


def test_complete_share_ignores_intensity_but_not_its_absence():
    counts = np.zeros((4, 4), np.int64)
    counts[0, 0], counts[0, 3], counts[1, 3], counts[2, 3], counts[3, 3], counts[3, 2] = 60, 5, 10, 10, 10, 5
    assert complete_share(counts) == 0.3
    with pytest.raises(ScoringError):
        complete_share(np.zeros((4, 4), np.int64))


@pytest.mark.parametrize(
    ("k", "n", "text"),
    [
        (1935, 8412, "23.0"),
        (100, 1000, "10.0"),
        (1001, 10_000, "10.01"),
        (100_001, 1_000_000, "10.0001"),
        (999_999, 10_000_000, "9.99999"),
    ],
)
def test_a_share_off_the_cutoff_is_never_printed_as_the_cutoff(k, n, text):
    printed = percent_text(k, n, 10)
    assert float(printed) == float(text)
    assert (float(printed) == 10) == (10 * k == n)
