"""Pairs for the tests of agreement figures, tables and files."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.scoring.agreement.pairs import make_pairs

SCORES = ("0", "1+", "2+", "3+")


def _study(n=40, seed=2, accuracy=0.75, **more):
    """Return `n` pairs of which about `accuracy` agree; by default slides, two per case."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 4
    answer = np.where(rng.random(n) < accuracy, truth, rng.integers(0, 4, n))
    probabilities = np.full((n, 4), 0.1)
    probabilities[np.arange(n), answer] = 0.7
    names = np.array(SCORES)
    settings = {
        "cases": [f"c{i // 2}" for i in range(n)],
        "level": "slide",
        "probabilities": probabilities,
    } | more
    return make_pairs(names[truth].tolist(), names[answer].tolist(), SCORES, **settings)


@pytest.fixture(scope="session")
def study():
    return _study
