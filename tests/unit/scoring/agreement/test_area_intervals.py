"""Intervals of areas under ROC curves: DeLong by its definition, and the bootstrap against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="areas are NOT TESTED: pip install 'qupath-her2[learn]'")
from sklearn.metrics import f1_score, roc_auc_score

from qupath_her2.scoring.agreement.area_intervals import bootstrap_figures, delong_interval
from qupath_her2.scoring.agreement.kappa import BootstrapSettings


def drawn(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    is_positive = rng.random(n) < 0.4
    # Rounded, so that there are ties.
    return np.round(rng.normal(size=n) + is_positive, 1), is_positive


def test_delong_by_its_definition() -> None:
    score, is_positive = drawn()
    high, low = score[is_positive], score[~is_positive]
    # Kernel of every pair, and the variance of its structural components (DeLong et al. 1988, eq. 5 and 6).
    kernel = (high[:, None] > low[None]) + 0.5 * (high[:, None] == low[None])
    variance = kernel.mean(axis=1).var(ddof=1) / len(high) + kernel.mean(axis=0).var(ddof=1) / len(low)
    found = delong_interval(score, is_positive)
    assert found.value == pytest.approx(roc_auc_score(is_positive, score))
    assert (found.low, found.high) == pytest.approx(
        (kernel.mean() - 1.959964 * variance**0.5, min(1, kernel.mean() + 1.959964 * variance**0.5)), abs=1e-6
    )


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    # Normal scores one deviation apart have an area of Phi(1 / sqrt 2) = 0.760.
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        score = np.concatenate([rng.normal(1, 1, 30), rng.normal(0, 1, 50)])
        found = delong_interval(score, np.arange(80) < 30)
        hits += found.low <= 0.76025 <= found.high
    assert 0.91 < hits / 400 < 0.98


def test_areas_without_a_value() -> None:
    assert np.isnan(delong_interval(np.arange(3.0), np.ones(3, bool)).value)
    alone = delong_interval(np.arange(3.0), np.array([False, False, True]))
    assert alone.value == 1
    assert np.isnan(alone.low)


def test_bootstrap_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 60)
    probabilities = rng.dirichlet(np.ones(3), 60) + np.eye(3)[truth] * 0.3
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    found = bootstrap_figures(
        truth, probabilities, [f"P{row // 2}" for row in range(60)], BootstrapSettings(200, 0)
    )
    answer = probabilities.argmax(axis=1)
    assert found["macro AUC"].value == pytest.approx(roc_auc_score(truth, probabilities, multi_class="ovr"))
    assert found["macro F1"].value == pytest.approx(f1_score(truth, answer, average="macro"))
    assert found["accuracy"].value == pytest.approx((truth == answer).mean())
    for one in found.values():
        assert one.low < one.value < one.high


def test_cases_are_drawn_whole() -> None:
    truth, probabilities = np.tile([0, 1], 20), np.tile([[0.6, 0.4], [0.3, 0.7]], (20, 1))
    probabilities[:8] = 1 - probabilities[:8]
    alone, together = (
        bootstrap_figures(truth, probabilities, cases, BootstrapSettings(300, 0))["accuracy"]
        for cases in ([str(row) for row in range(40)], [str(row // 8) for row in range(40)])
    )
    # Few cases that err as a whole leave more doubt than as many slides of their own.
    assert together.high - together.low > alone.high - alone.low


def test_a_missing_class_has_no_macro_figure() -> None:
    found = bootstrap_figures(
        np.zeros(4, np.int64), np.full((4, 2), 0.5), ["a", "b", "c", "d"], BootstrapSettings(10, 0)
    )
    assert np.isnan(found["macro AUC"].value)
    assert found["macro AUC"].undefined_draws == 10
