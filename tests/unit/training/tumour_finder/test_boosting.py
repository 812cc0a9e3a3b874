"""More trees correct what an ensemble has wrong, and leave the rest of it as it is."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.nuclei.trees import predict
from qupath_her2.training.tumour_finder.boosting import BoostingSettings, boosted_on
from tests.helpers.small_finder import stump

pytest.importorskip("sklearn")


def tissue(n, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)
    # The first column decides, unless the third is high: those are no tumour.
    return rows, (rows[:, 0] > 0) & (rows[:, 2] < 0.5)


def test_what_was_wrong_is_corrected_on_new_rows():
    base = stump(0)
    rows, label = tissue(1200)
    found = boosted_on(base, predict(base, rows), rows, label.astype(float), np.ones(len(rows)))
    new, truth = tissue(1200, 1)
    before, after = ((predict(trees, new) > 0) == truth for trees in (base, found))
    assert before.mean() < 0.87
    assert after.mean() > 0.97


def test_the_old_trees_come_first_and_stay():
    base = stump(0)
    rows, label = tissue(300)
    found = boosted_on(base, predict(base, rows), rows, label.astype(float), np.ones(len(rows)))
    assert len(found.root) == 1 + BoostingSettings().trees
    np.testing.assert_array_equal(found.value[:3], base.value)
    np.testing.assert_array_equal(found.feature[:3], base.feature)
    children = np.concatenate([found.left[found.feature >= 0], found.right[found.feature >= 0]])
    assert children.max() < len(found.feature)


def test_targets_that_are_met_change_nothing():
    base = stump(0)
    rows, _ = tissue(500)
    log_odds = predict(base, rows)
    found = boosted_on(base, log_odds, rows, 1 / (1 + np.exp(-log_odds.astype(float))), np.ones(len(rows)))
    np.testing.assert_allclose(predict(found, rows), log_odds, atol=1e-5)


def test_the_stored_trees_are_those_that_were_fitted():
    # Columns of few values lie on the thresholds, where rounding to single precision would show.
    rows = np.random.default_rng(0).integers(0, 4, (400, 6)).astype(np.float32) / np.float32(3)
    base = stump(0, 0.5)
    settings = BoostingSettings(trees=1, learning_rate=1.0, ridge=0.0, leaves=2, columns=1.0)
    label = rows[:, 3] > 0.4
    found = boosted_on(base, np.zeros(400, np.float32), rows, label.astype(float), np.ones(400), settings)
    steps = np.round(predict(found, rows) - predict(base, rows), 3)
    # Newton steps of pure leaves, from log-odds of 0.
    assert set(steps[label].tolist()) == {2.0}
    assert set(steps[~label].tolist()) == {-2.0}
