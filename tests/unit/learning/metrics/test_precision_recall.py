from __future__ import annotations

import math

import numpy as np
import pytest

from qupath_her2.learning.metrics.precision_recall import precision_recall, precision_recall_figure


def test_average_precision_by_hand() -> None:
    # Ranked: positive, negative, positive, negative: precision 1 at recall 1/2, 2/3 at recall 1.
    found = precision_recall(np.array([0.9, 0.7, 0.5, 0.1]), np.array([True, False, True, False]))
    assert found.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found.area == pytest.approx(0.75)
    assert (found.n, found.n_positive) == (4, 2)
    assert (found.precision[-1], found.recall[-1]) == (1, 0)
    text = precision_recall_figure(found, "Tumour patches")
    assert "average precision 0.833" in text
    assert 'id="roc"' in text
    assert 'id="precision-recall"' in text


@pytest.mark.parametrize("truth", [[True, True], [False, False]])
def test_one_class_alone_has_no_figures(truth: list[bool]) -> None:
    found = precision_recall(np.array([0.2, 0.8]), np.array(truth))
    assert math.isnan(found.average_precision)
    assert math.isnan(found.area)
    assert len(found.precision) == 0


def test_long_curves_are_drawn_with_few_points() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(20_000) < 0.3
    found = precision_recall(rng.normal(size=20_000) + truth, truth)
    assert len(found.precision) > 10_000
    assert len(precision_recall_figure(found, "many")) < 60_000
