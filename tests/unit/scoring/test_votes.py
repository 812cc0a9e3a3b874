"""Votes over patches: mean, majority, ties, and unreadable patches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.errors import ScoringError, SettingsError
from qupath_her2.scoring.votes import VoteSettings, vote

#: Two patches slightly favour class 1, one is certain of class 0; the fourth could not be read.
FOUR = np.array([[0.4, 0.6], [0.45, 0.55], [1.0, 0.0], [np.nan, np.nan]], np.float32)
NAMED = np.array([1, 1, 0, -1], np.int16)
MAJORITY = VoteSettings("majority")


def test_mean_and_majority_by_hand():
    mean = vote(FOUR, NAMED)
    assert mean.class_index == 0
    assert mean.probabilities == pytest.approx([1.85 / 3, 1.15 / 3], abs=1e-6)
    assert (mean.n_patches, mean.n_classified) == (3, 3)
    majority = vote(FOUR, NAMED, settings=MAJORITY)
    assert majority.class_index == 1
    assert majority.probabilities == pytest.approx([1 / 3, 2 / 3])


def test_patches_without_a_class_have_no_vote_in_a_majority():
    tie = vote(FOUR, np.array([1, -1, 0, -1], np.int16), settings=MAJORITY)
    assert tie.n_classified == 2
    # One against one: the mean of all readable patches, 0.62 against 0.38, decides.
    assert tie.class_index == 0
    assert vote(FOUR, np.full(4, -1, np.int16)).class_index is None


@pytest.mark.parametrize("rule", ["mean", "majority"])
def test_no_readable_patches_give_no_class(rule):
    nothing = vote(np.full((2, 3), np.nan, np.float32), np.full(2, -1, np.int16), settings=VoteSettings(rule))
    assert nothing.class_index is None
    assert np.isnan(nothing.probabilities).all()
    assert vote(FOUR, NAMED, settings=VoteSettings(rule, min_patches=4)).class_index is None


@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_order_does_not_matter_and_a_single_patch_decides_alone(n, classes, seed):
    rng = np.random.default_rng(seed)
    drawn = rng.dirichlet(np.ones(classes), n).astype(np.float32)
    named = drawn.argmax(axis=1).astype(np.int16)
    order = rng.permutation(n)
    for rule in ("mean", "majority"):
        settings = VoteSettings(rule)
        one = vote(drawn, named, settings=settings)
        other = vote(drawn[order], named[order], settings=settings)
        assert one.class_index == other.class_index
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
        assert one.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert vote(drawn[:1], named[:1], settings=settings).class_index == named[0]


def test_invalid_probabilities_are_refused():
    with pytest.raises(ScoringError, match="shape"):
        vote(np.zeros(3, np.float32), NAMED)
    with pytest.raises(ScoringError, match=r"shape \(2,\) do not match probabilities of shape \(4, 2\)"):
        vote(FOUR, NAMED[:2])
    with pytest.raises(ScoringError, match="do not match probabilities"):
        vote(FOUR, NAMED + 1)
    with pytest.raises(ScoringError, match=r"outside 0\.\.1"):
        vote(np.array([[2.0, -1.0]], np.float32), NAMED[:1])
    with pytest.raises(SettingsError, match="rule is 'best'; it must be one of mean, majority"):
        VoteSettings("best")
    with pytest.raises(SettingsError, match="min_patches"):
        VoteSettings(min_patches=0)
