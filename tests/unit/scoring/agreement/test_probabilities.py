"""AUC against all pairs and scikit-learn's macro mean; calibration against hand values and drawn truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from qupath_her2.scoring.agreement.pairs import make_pairs
from qupath_her2.scoring.agreement.probabilities import area_under_roc, calibration, class_areas

NAMES = ("negative", "equivocal", "positive")


def paired(truth: np.ndarray, probabilities: np.ndarray):
    labels = np.array(NAMES)
    return make_pairs(
        labels[truth].tolist(),
        labels[probabilities.argmax(axis=1)].tolist(),
        NAMES,
        probabilities=probabilities,
    )


def drawn(seed=1, n=400, sharpness=1.5):
    """Return truth drawn from the stated probabilities, so perfectly calibrated by construction."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, sharpness, (n, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (rng.random((n, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    return truth, probabilities


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=80)
def test_auc_is_the_share_of_pairs_in_the_right_order(data):
    score, positive = (np.array(column) for column in zip(*data, strict=True))
    area = area_under_roc(score.astype(float), positive)
    ups, downs = score[positive], score[~positive]
    if len(ups) == 0 or len(downs) == 0:
        assert math.isnan(area)
        return
    wins = (ups[:, None] > downs).mean() + 0.5 * (ups[:, None] == downs).mean()
    assert area == pytest.approx(wins)
    assert area_under_roc(-score.astype(float), positive) == pytest.approx(1 - area)


def test_one_against_rest_and_macro_are_those_of_scikit_learn():
    truth, probabilities = drawn()
    areas, macro = class_areas(paired(truth, probabilities))
    assert macro == pytest.approx(roc_auc_score(truth, probabilities, multi_class="ovr", average="macro"))
    for code, name in enumerate(NAMES):
        assert areas[name] == pytest.approx(roc_auc_score(truth == code, probabilities[:, code]))


def test_an_absent_class_has_no_area_and_leaves_no_macro_mean():
    truth, probabilities = drawn()
    areas, macro = class_areas(paired(np.minimum(truth, 1), probabilities))
    assert math.isnan(areas["positive"])
    assert math.isfinite(areas["negative"])
    assert math.isnan(macro)


def test_pairs_without_probabilities_are_left_out():
    truth, probabilities = drawn()
    areas, _ = class_areas(paired(truth[:200], probabilities[:200]))
    holed = probabilities.copy()
    holed[200:] = np.nan
    labels = np.array(NAMES)
    pairs = make_pairs(labels[truth].tolist(), [None] * 400, NAMES, probabilities=holed)
    assert class_areas(pairs)[0] == areas
    assert calibration(pairs).n == 200


def test_calibration_by_hand():
    # Four pairs in the bin of 0.9 of which two are right, one in the bin of 0.5 that is right.
    probabilities = np.array([[0.9, 0.05, 0.05]] * 4 + [[0.25, 0.5, 0.25]])
    found = calibration(paired(np.array([0, 0, 1, 2, 1]), probabilities), n_bins=10)
    assert found.bins == ((0.5, 1.0, 1), (pytest.approx(0.9), 0.5, 4))
    assert found.error == pytest.approx(0.2 * 0.5 + 0.8 * 0.4)


def test_calibrated_probabilities_have_a_small_error_and_sharpened_ones_a_large_one():
    truth, probabilities = drawn(n=20_000)
    sharpened = probabilities**4 / (probabilities**4).sum(axis=1, keepdims=True)
    assert calibration(paired(truth, probabilities)).error < 0.015
    assert calibration(paired(truth, sharpened)).error > 0.15


@given(st.integers(0, 500), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_the_error_lies_between_the_mean_gap_and_one(seed, bins):
    truth, probabilities = drawn(seed, n=60)
    found = calibration(paired(truth, probabilities), n_bins=bins)
    gap = abs(probabilities.max(axis=1).mean() - (probabilities.argmax(axis=1) == truth).mean())
    # Gaps of opposite sign cancel when bins are joined, so no binning gives less than a single bin.
    assert gap - 1e-12 <= found.error <= 1
    assert sum(n for _, _, n in found.bins) == 60


def test_without_probabilities_figures_are_nan():
    pairs = make_pairs(["negative"], ["negative"], NAMES)
    assert math.isnan(calibration(pairs).error)
    assert all(math.isnan(area) for area in class_areas(pairs)[0].values())
