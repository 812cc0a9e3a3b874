"""Weights of resamples: whole cases are drawn, as often as there are cases."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.scoring.agreement.kappa import BootstrapSettings
from qupath_her2.scoring.agreement.resampling import case_weights


def test_the_first_row_is_the_sample_and_slides_of_a_case_go_together():
    weights = case_weights(["a", "b", "a", "c"], BootstrapSettings(draws=500, seed=3))
    assert weights.shape == (501, 4)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    # Three cases are drawn each time, however many slides they have.
    assert (weights[1:, [0, 1, 3]].sum(axis=1) == 3).all()
    # A case is left out of (2/3)^3 = 30 % of the resamples.
    assert (weights[1:] == 0).mean(axis=0) == pytest.approx(8 / 27, abs=0.07)


def test_the_seed_repeats_the_resamples():
    settings = BootstrapSettings(draws=50, seed=1)
    assert np.array_equal(case_weights(list("abcd"), settings), case_weights(list("abcd"), settings))
    assert not np.array_equal(
        case_weights(list("abcd"), settings), case_weights(list("abcd"), BootstrapSettings(50, 2))
    )


def test_no_slides_have_no_weights():
    assert case_weights([]).shape == (2001, 0)
