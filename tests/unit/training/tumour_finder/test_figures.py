"""Figures before and after: against scikit-learn, and their intervals by case."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.training.tumour_finder.figures import compare

metrics = pytest.importorskip("sklearn.metrics")


def test_figures_are_those_of_the_cells():
    rng = np.random.default_rng(0)
    label = rng.random(400) < 0.5
    before = rng.random(400).astype(np.float32)
    after = np.clip(0.5 * before + 0.4 * label, 0, 1).astype(np.float32)
    cases = [f"K-{i % 5}" for i in range(400)]
    found = compare(label, before, after, cases, 0.4)
    assert (found.cells, found.tumour_cells, found.cases) == (400, int(label.sum()), 5)
    assert found.before["auc"].value == pytest.approx(metrics.roc_auc_score(label, before))
    weights = np.where(label, 1 / label.sum(), 1 / (~label).sum())
    assert found.after["log_loss"].value == pytest.approx(
        metrics.log_loss(label, np.clip(after, 1e-4, 1 - 1e-4).astype(float), sample_weight=weights), rel=1e-6
    )
    expected = metrics.balanced_accuracy_score(label, before >= 0.4)
    assert found.before["right"].value == pytest.approx(expected)
    gain = found.difference["auc"]
    assert gain.value == pytest.approx(found.after["auc"].value - found.before["auc"].value)
    assert gain.low <= gain.value <= gain.high
    assert gain.low > 0
    assert found.json["difference"]["auc"]["value"] == round(gain.value, 4)
    assert f"({gain.value:+.3f}, 95 %" in found.words


def test_a_case_of_one_kind_only_is_counted_with_the_others():
    label = np.array([True] * 10 + [False] * 10 + [True, False] * 5)
    p = np.where(label, 0.9, 0.1).astype(np.float32)
    found = compare(label, np.full(30, 0.5, np.float32), p, ["a"] * 10 + ["b"] * 10 + ["c"] * 10, 0.4)
    assert found.after["auc"].value == 1
    assert np.isfinite([found.difference["auc"].low, found.difference["log_loss"].high]).all()
