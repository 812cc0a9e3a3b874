"""Fleiss' kappa and Krippendorff's alpha against statsmodels, krippendorff, and the authors' own examples."""

from __future__ import annotations

import math
import warnings

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as fleiss_of_statsmodels

from qupath_her2.scoring.agreement.many_readers import LEVELS, fleiss_kappa, krippendorff_alpha

#: Krippendorff 2011, "Computing Krippendorff's alpha-reliability": four observers, twelve units, missing data.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, math.nan, math.nan, math.nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, math.nan, 3],
        [math.nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, math.nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, math.nan],
    ]
).T


def one(n: int) -> np.ndarray:
    return np.ones((1, n))


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_published_example_of_alpha(level, alpha):
    assert krippendorff_alpha(PUBLISHED, one(12), level)[0] == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_of_every_resample_is_that_of_the_library(level):
    rng = np.random.default_rng(0)
    values = np.where(rng.random((15, 6)) < 0.25, np.nan, rng.integers(0, 5, (15, 6)) ** 2.0)
    weights = rng.multinomial(15, np.full(15, 1 / 15), 20).astype(float)
    ours = krippendorff_alpha(values, weights, level)
    for alpha, times in zip(ours, weights.astype(int), strict=True):
        drawn = np.repeat(values, times, axis=0)
        assert alpha == pytest.approx(
            krippendorff.alpha(reliability_data=drawn.T, level_of_measurement=level), abs=1e-9
        )


@pytest.mark.parametrize("level", LEVELS)
@given(data=st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.5, 40.0]), min_size=3, max_size=3), min_size=2))
@settings(max_examples=40, deadline=None)
def test_alpha_is_that_of_the_library(level, data):
    values = np.array(data)
    ours = krippendorff_alpha(values, one(len(values)), level)[0]
    if len(np.unique(values)) == 1:
        assert math.isnan(ours)
        return
    peer = krippendorff.alpha(reliability_data=values.T, level_of_measurement=level)
    assert ours == pytest.approx(peer, abs=1e-6)


def test_alpha_of_numbers_does_not_depend_on_unit_and_origin():
    values = PUBLISHED * 1e-7 + 1000.0
    assert krippendorff_alpha(values, one(12), "interval")[0] == pytest.approx(0.849, abs=5e-4)


@given(data=st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=2))
@settings(max_examples=60, deadline=None)
def test_fleiss_is_that_of_statsmodels(data):
    values = np.array(data, float)
    ours, slides = fleiss_kappa(values, one(len(values)))
    assert slides == len(values)
    if len(np.unique(values)) == 1:
        assert math.isnan(ours[0])
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = fleiss_of_statsmodels(aggregate_raters(values.astype(int))[0])
    assert ours[0] == pytest.approx(peer, abs=1e-6)


def test_fleiss_of_the_paper():
    # Fleiss 1971: 30 patients, 6 psychiatrists, 5 categories, kappa 0.430.
    counts = np.loadtxt(
        """0 0 0 6 0;0 3 0 0 3;0 1 4 0 1;0 0 0 0 6;0 3 0 3 0;2 0 4 0 0;0 0 4 0 2;2 0 3 1 0;2 0 0 4 0;0 0 0 0 6
        1 0 0 5 0;1 1 0 4 0;0 3 3 0 0;1 0 0 5 0;0 2 0 3 1;0 0 5 0 1;3 0 0 1 2;5 1 0 0 0;0 2 0 4 0;1 0 2 0 3
        0 0 0 0 6;0 1 0 5 0;0 2 0 1 3;2 0 0 4 0;1 0 0 4 1;0 5 0 1 0;4 0 0 0 2;0 2 0 4 0;1 0 5 0 0;0 0 0 0 6""".replace(
            "\n", ";"
        ).split(";"),
        dtype=int,
    )
    values = np.array([np.repeat(np.arange(5), row) for row in counts], float)
    assert fleiss_kappa(values, one(30))[0][0] == pytest.approx(0.430, abs=5e-4)


def test_slides_that_somebody_did_not_read_are_left_out_of_fleiss():
    values = np.array([[0, 0], [1, 1], [1, np.nan], [0, 1]], float)
    kappa, slides = fleiss_kappa(values, one(4))
    assert slides == 3
    assert kappa[0] == fleiss_kappa(values[[0, 1, 3]], one(3))[0][0]
    # The weights of the slide do not matter either.
    assert fleiss_kappa(values, np.array([[1.0, 1, 9, 1]]))[0][0] == kappa[0]
