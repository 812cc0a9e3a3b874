"""Kappas of many pairs at once against those of single pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from qupath_her2.scoring.agreement import reader_pairs
from qupath_her2.scoring.agreement.kappa import weighted_kappa
from qupath_her2.scoring.agreement.reader_pairs import pair_figures, pair_kappas

RNG = np.random.default_rng(5)
FIRST = RNG.integers(-1, 4, (40, 9))
SECOND = np.where(RNG.random((40, 9)) < 0.5, FIRST, RNG.integers(-1, 4, (40, 9)))
WEIGHTS = np.vstack([np.ones(40), RNG.multinomial(40, np.full(40, 1 / 40), 30)])


@pytest.mark.parametrize(("kind", "peer"), [("none", None), ("linear", "linear"), ("quadratic", "quadratic")])
def test_each_pair_is_that_of_scikit_learn(kind, peer):
    kappas = pair_kappas(FIRST, SECOND, WEIGHTS, 4)[kind]
    for pair in range(9):
        both = (FIRST[:, pair] >= 0) & (SECOND[:, pair] >= 0)
        theirs = cohen_kappa_score(FIRST[both, pair], SECOND[both, pair], labels=range(4), weights=peer)
        assert kappas[0, pair] == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("kind", ["none", "linear", "quadratic"])
def test_each_resample_is_the_kappa_of_its_matrix(kind):
    kappas = pair_kappas(FIRST, SECOND, WEIGHTS, 4)[kind]
    both = (FIRST[:, 2] >= 0) & (SECOND[:, 2] >= 0)
    for row in (1, 7, 30):
        matrix = np.zeros((4, 4))
        np.add.at(matrix, (FIRST[both, 2], SECOND[both, 2]), WEIGHTS[row, both])
        assert kappas[row, 2] == pytest.approx(float(weighted_kappa(matrix, kind)), abs=1e-12)


def test_parts_of_few_pairs_give_the_same(monkeypatch):
    whole = pair_kappas(FIRST, SECOND, WEIGHTS, 4)
    monkeypatch.setattr(reader_pairs, "_MOST_NUMBERS", 1)
    parts = pair_kappas(FIRST, SECOND, WEIGHTS, 4)
    for kind, values in whole.items():
        assert np.allclose(values, parts[kind], rtol=0, atol=1e-12)


def test_figures_count_slides_that_both_read():
    first = np.array([[0, 3], [1, 3], [2, 3], [-1, 3]])
    second = np.array([[0, 3], [2, 3], [-1, 3], [1, 3]])
    figures = pair_figures(first, second, pair_kappas(first, second, np.ones((3, 4)), 4))
    assert (figures[0].agreement.k, figures[0].agreement.n) == (1, 2)
    assert (figures[1].agreement.k, figures[1].agreement.n) == (4, 4)
    # All in one class: agreement is complete, and kappa has no value.
    assert math.isnan(figures[1].kappa["linear"].value)
    assert (
        pair_figures(
            first[:, :0], second[:, :0], pair_kappas(first[:, :0], second[:, :0], np.ones((3, 4)), 4)
        )
        == []
    )
