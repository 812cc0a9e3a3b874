"""Figures of the confusion matrix against values worked out by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from qupath_her2.scoring.agreement.confusion_matrix import (
    Share,
    class_figures,
    confusion_matrix,
    cut_figures,
    off_by_two,
)
from qupath_her2.scoring.agreement.pairs import make_pairs

SCORES = ("0", "1+", "2+", "3+")
#: 100 cases, truth in rows; the figures are worked out by hand below.
HAND = np.array([[20, 4, 1, 0], [5, 18, 6, 1], [0, 7, 15, 3], [0, 0, 4, 16]])
PAIRS = st.lists(st.tuples(st.sampled_from(SCORES), st.sampled_from(SCORES)), min_size=1, max_size=60)


def test_truth_is_in_rows_and_pairs_without_answer_are_left_out():
    pairs = make_pairs(["0", "0", "3+", None, "1+"], ["0", "2+", "not assessable", "3+", None], SCORES)
    expected = np.zeros((4, 4), int)
    expected[0, 0] = expected[0, 2] = 1
    assert np.array_equal(confusion_matrix(pairs), expected)
    assert pairs.without_truth == 1
    assert (pairs.answer == -1).sum() == 2


def test_classes_by_hand():
    one = class_figures(HAND, SCORES)[1]
    # Truly 1+: 30, of them 18 said so; said 1+: 29; the other 70 hold 11 false 1+.
    assert (one.sensitivity, one.ppv) == (Share(18, 30), Share(18, 29))
    assert (one.specificity, one.npv) == (Share(59, 70), Share(59, 71))
    assert one.f1 == pytest.approx(2 * 18 / (30 + 29))
    assert one.sensitivity.value == 0.6


def test_cutoffs_by_hand():
    cuts = {cut.name: cut for cut in cut_figures(HAND, SCORES)}
    assert list(cuts) == ["0|1+", "1+|2+", "2+|3+"]
    # Above 1+|2+ in truth: 45, answered 2+ or 3+: 38. Below: 55, answered 0 or 1+: 47.
    assert (cuts["1+|2+"].ppa, cuts["1+|2+"].npa) == (Share(38, 45), Share(47, 55))
    assert (cuts["0|1+"].ppa, cuts["0|1+"].npa) == (Share(70, 75), Share(20, 25))
    assert (cuts["2+|3+"].ppa, cuts["2+|3+"].npa) == (Share(16, 20), Share(76, 80))


def test_the_first_cutoff_above_null_is_null_against_the_rest():
    names = ("null", *SCORES)
    assert [cut.name for cut in cut_figures(np.eye(5, dtype=int), names)] == [
        "null|rest",
        "0|1+",
        "1+|2+",
        "2+|3+",
    ]


def test_off_by_two_by_hand():
    assert off_by_two(HAND) == Share(2, 100)
    assert off_by_two(np.array([[0, 0, 3], [0, 5, 0], [2, 0, 0]])) == Share(5, 10)


def test_figures_without_a_denominator_are_nan():
    empty = class_figures(np.diag([5, 0]), ("negative", "positive"))[1]
    assert math.isnan(empty.sensitivity.value)
    assert math.isnan(empty.ppv.value)
    assert math.isnan(empty.f1)
    assert all(math.isnan(end) for end in empty.sensitivity.interval)
    assert empty.specificity.value == 1


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_figures_are_those_of_scikit_learn(labels):
    truth, answer = zip(*labels, strict=True)
    pairs = make_pairs(truth, answer, SCORES)
    matrix = confusion_matrix(pairs)
    assert matrix.tolist() == [[labels.count((row, column)) for column in SCORES] for row in SCORES]
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, answer, labels=SCORES, zero_division=np.nan
    )
    ours = class_figures(matrix, SCORES)
    np.testing.assert_allclose([one.sensitivity.value for one in ours], recall)
    np.testing.assert_allclose([one.ppv.value for one in ours], precision)
    np.testing.assert_allclose([one.f1 for one in ours], f1)


@given(PAIRS)
@settings(max_examples=60)
def test_the_highest_cutoff_is_the_highest_class_and_reversal_swaps_ppa_and_npa(labels):
    matrix = confusion_matrix(make_pairs(*zip(*labels, strict=True), SCORES))
    classes, cuts = class_figures(matrix, SCORES), cut_figures(matrix, SCORES)
    assert cuts[-1].ppa == classes[-1].sensitivity
    assert cuts[-1].npa == classes[-1].specificity
    reversed_cuts = cut_figures(matrix[::-1, ::-1], SCORES[::-1])
    assert [(cut.ppa, cut.npa) for cut in reversed_cuts] == [(cut.npa, cut.ppa) for cut in cuts[::-1]]
    assert matrix.trace() + off_by_two(matrix).k <= matrix.sum()
