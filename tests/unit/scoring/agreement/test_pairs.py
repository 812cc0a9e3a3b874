"""Pairs of truth and answer: codes, cases, probabilities, and the errors for bad input."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.agreement.pairs import make_pairs

SCORES = ("0", "1+", "2+", "3+")


def test_unknown_labels_are_all_listed():
    with pytest.raises(ScoringError, match=r"in the truth: '4\+', 'HER2'\. Known classes: 0, 1\+, 2\+, 3\+"):
        make_pairs(["0", "HER2", "4+", "HER2"], ["0"] * 4, SCORES)
    with pytest.raises(ScoringError, match="in the answer: 'x'"):
        make_pairs(["0"], ["x"], SCORES)


def test_cases_are_numbered_and_unknown_ones_are_cases_of_their_own():
    pairs = make_pairs(
        ["0", "1+", None, "0", "0"], ["0"] * 5, SCORES, cases=["a", None, "a", "a", None], level="slide"
    )
    assert len(pairs) == 4
    assert pairs.case[0] == pairs.case[2]
    assert len(set(pairs.case)) == 3
    assert (pairs.unknown_cases, pairs.without_truth) == (2, 1)


def test_at_case_level_each_case_has_one_pair():
    with pytest.raises(ScoringError, match=r"Cases with more than one pair: 'a'\..*level=\"slide\""):
        make_pairs(["0"] * 3, ["0"] * 3, SCORES, cases=["a", "a", None])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.6, 0, 0], "of 1 pairs are negative or do not sum to 1, first in row 0"),
        ([np.nan, 1, 0, 0], "are negative or do not sum to 1"),
        ([1.5, -0.5, 0, 0], "are negative or do not sum to 1"),
    ],
)
def test_probabilities_sum_to_one_or_are_all_missing(row, message):
    with pytest.raises(ScoringError, match=message):
        make_pairs(["0"], ["0"], SCORES, probabilities=np.array([row]))
    pairs = make_pairs(["0"], ["0"], SCORES, probabilities=np.full((1, 4), np.nan))
    assert np.isnan(pairs.probabilities).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["0"], ["0", "0"], SCORES), "lists of equal length; got 1 true classes, 2 answers"),
        ((["0"], ["0"], ("0",)), "two or more distinct classes"),
        ((["0"], ["0"], ("0", "0")), "two or more distinct classes"),
    ],
)
def test_unequal_lists_and_too_few_classes_are_refused(arguments, message):
    with pytest.raises(ScoringError, match=message):
        make_pairs(*arguments)
    with pytest.raises(ScoringError, match="2 cases"):
        make_pairs(["0"], ["0"], SCORES, cases=["a", "b"])
    with pytest.raises(ScoringError, match=r"\(1, 4\)"):
        make_pairs(["0"], ["0"], SCORES, probabilities=np.ones((1, 3)) / 3)
