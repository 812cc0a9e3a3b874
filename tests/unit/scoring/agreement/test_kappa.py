"""Kappa against hand calculation, scikit-learn and a plain bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from qupath_her2.scoring.agreement.confusion_matrix import confusion_matrix
from qupath_her2.scoring.agreement.kappa import (
    BootstrapSettings,
    draw_matrices,
    estimate_kappa,
    weighted_kappa,
)
from qupath_her2.scoring.agreement.pairs import make_pairs

SCORES = ("0", "1+", "2+", "3+")


def test_kappa_by_hand():
    # Observed agreement 35/50, expected (25 * 30 + 25 * 20) / 2500 = 0.5.
    table = np.array([[20, 5], [10, 15]])
    assert weighted_kappa(table, "none") == pytest.approx((0.7 - 0.5) / 0.5)
    # With two classes all weights are the same.
    assert (
        weighted_kappa(table, "quadratic") == weighted_kappa(table, "linear") == weighted_kappa(table, "none")
    )


def test_weights_by_hand():
    # Margins 2, 2, 2 both ways: expected linear disagreement 16/6 * 2 = 16/3 ... per pair 8/9; quadratic 4/3.
    table = np.array([[1, 0, 1], [0, 2, 0], [1, 0, 1]])
    assert weighted_kappa(table, "linear") == pytest.approx(1 - (4 / 6) / (8 / 9))
    assert weighted_kappa(table, "quadratic") == pytest.approx(1 - (8 / 6) / (4 / 3))


@pytest.mark.parametrize(
    ("ours", "theirs"), [("none", None), ("linear", "linear"), ("quadratic", "quadratic")]
)
@given(data=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
@settings(max_examples=50, deadline=None)
def test_kappa_is_that_of_scikit_learn(ours, theirs, data):
    truth, answer = zip(*data, strict=True)
    if len({*truth, *answer}) == 1:
        return
    matrix = np.zeros((4, 4), int)
    np.add.at(matrix, (truth, answer), 1)
    peer = cohen_kappa_score(truth, answer, labels=range(4), weights=theirs)
    assert float(weighted_kappa(matrix, ours)) == pytest.approx(peer, abs=1e-12)


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_kappa_of_a_single_class_or_no_pairs_is_nan(weights):
    assert math.isnan(weighted_kappa(np.diag([7, 0, 0]), weights))
    assert math.isnan(weighted_kappa(np.zeros((3, 3), int), weights))
    assert weighted_kappa(np.diag([7, 1, 2]), weights) == 1


def some_pairs(seed=5, n_cases=40, slides=3, accuracy=0.7):
    """Return cases whose slides all get the same answer, which makes the pairs of a case dependent."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.integers(0, 4, n_cases), slides)
    wrong = np.repeat(rng.random(n_cases) > accuracy, slides)
    answer = np.where(wrong, np.repeat(rng.integers(0, 4, n_cases), slides), truth)
    names = np.array(SCORES)
    cases = [f"case {n // slides}" for n in range(n_cases * slides)]
    return names[truth].tolist(), names[answer].tolist(), cases


def test_resamples_consist_of_whole_cases():
    truth, answer, cases = some_pairs()
    pairs = make_pairs(truth, answer, SCORES, cases=cases, level="slide")
    draws = draw_matrices(pairs, BootstrapSettings(200, seed=3))
    assert draws.shape == (200, 4, 4)
    # 40 cases of 3 slides each: every draw has 120 slides, in threes.
    assert (draws.sum(axis=(1, 2)) == 120).all()
    assert (draws % 3 == 0).all()
    assert np.array_equal(draws, draw_matrices(pairs, BootstrapSettings(200, seed=3)))


def test_the_interval_equals_that_of_a_plain_bootstrap_over_cases():
    truth, answer, cases = some_pairs()
    pairs = make_pairs(truth, answer, SCORES, cases=cases, level="slide")
    ours = estimate_kappa(confusion_matrix(pairs), draw_matrices(pairs, BootstrapSettings(4000)), "quadratic")
    rng, n_cases = np.random.default_rng(99), 40
    slow = []
    for _ in range(600):
        rows = np.concatenate(
            [np.arange(3 * case, 3 * case + 3) for case in rng.integers(0, n_cases, n_cases)]
        )
        slow.append(
            cohen_kappa_score(pairs.truth[rows], pairs.answer[rows], labels=range(4), weights="quadratic")
        )
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.04)
    assert ours.low < ours.value < ours.high


def test_resampling_slides_instead_of_cases_would_narrow_the_interval():
    truth, answer, cases = some_pairs()
    by_case, by_slide = (
        make_pairs(truth, answer, SCORES, cases=keys, level="slide")
        for keys in (cases, [str(n) for n in range(len(cases))])
    )
    widths = []
    for pairs in (by_case, by_slide):
        found = estimate_kappa(confusion_matrix(pairs), draw_matrices(pairs), "linear")
        widths.append(found.high - found.low)
    # Three equal slides a case: the interval by case is wider by about the square root of three.
    assert widths[0] / widths[1] == pytest.approx(math.sqrt(3), rel=0.15)


def test_the_interval_covers_the_true_kappa_in_95_percent_of_samples():
    rng = np.random.default_rng(8)
    # Truth even over 4 classes, answers right with 0.6 and otherwise even: kappa is 0.6 in the population.
    covered = 0
    for seed in range(120):
        truth = rng.integers(0, 4, 150)
        answer = np.where(rng.random(150) < 0.6, truth, rng.integers(0, 4, 150))
        names = np.array(SCORES)
        pairs = make_pairs(names[truth].tolist(), names[answer].tolist(), SCORES)
        found = estimate_kappa(
            confusion_matrix(pairs), draw_matrices(pairs, BootstrapSettings(400, seed)), "quadratic"
        )
        covered += found.low <= 0.6 <= found.high
    # 95 % of 120 is 114; three standard deviations of the count are 7.
    assert 106 <= covered <= 120


def test_resamples_without_a_value_are_counted():
    pairs = make_pairs(["0", "0", "0", "1+"], ["0", "0", "0", "1+"], SCORES)
    found = estimate_kappa(confusion_matrix(pairs), draw_matrices(pairs, BootstrapSettings(500)), "linear")
    # The one 1+ case is absent from a draw with probability (3/4)^4 = 0.316, and alone in one with (1/4)^4.
    assert found.undefined_draws / 500 == pytest.approx(0.316 + 0.004, abs=0.07)
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_no_answers_give_no_estimate():
    pairs = make_pairs(["0", "1+"], [None, None], SCORES)
    found = estimate_kappa(confusion_matrix(pairs), draw_matrices(pairs, BootstrapSettings(10)), "none")
    assert all(math.isnan(value) for value in (found.value, found.low, found.high))
