"""Intraclass correlations against pingouin and the table of Shrout and Fleiss."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest

from qupath_her2.scoring.agreement.intraclass import intraclass_correlation

#: Shrout & Fleiss 1979, table 2: six targets, four judges.
PUBLISHED = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def by_pingouin(values: np.ndarray) -> tuple[float, float]:
    with warnings.catch_warnings():
        # Its own use of pandas.
        warnings.simplefilter("ignore")
        import pingouin

        long = pd.DataFrame(values).reset_index().melt("index", var_name="reader", value_name="value")
        table = pingouin.intraclass_corr(long, targets="index", raters="reader", ratings="value")
    found = table["ICC"].to_numpy()
    return float(found[1]), float(found[2])


def test_the_published_table():
    icc = intraclass_correlation(PUBLISHED, np.ones((1, 6)))
    # Printed as .29 and .71.
    assert icc.icc_2_1[0] == pytest.approx(0.290, abs=5e-4)
    assert icc.icc_3_1[0] == pytest.approx(0.715, abs=5e-4)
    assert icc.slides == 6


def test_the_library_gives_the_same():
    rng = np.random.default_rng(1)
    values = rng.normal(20, 9, (25, 1)) + rng.normal(0, 4, (1, 7)) + rng.normal(0, 3, (25, 7))
    icc = intraclass_correlation(values, np.ones((1, 25)))
    assert (icc.icc_2_1[0], icc.icc_3_1[0]) == pytest.approx(by_pingouin(values), abs=1e-6)


def test_a_resample_is_the_sample_with_its_slides_repeated():
    times = np.array([2, 0, 1, 3, 0, 0])
    drawn = np.repeat(PUBLISHED, times, axis=0)
    icc = intraclass_correlation(PUBLISHED, np.vstack([np.ones(6), times]))
    again = intraclass_correlation(drawn, np.ones((1, 6)))
    assert icc.icc_2_1[1] == pytest.approx(again.icc_2_1[0], abs=1e-12)
    assert icc.icc_3_1[1] == pytest.approx(again.icc_3_1[0], abs=1e-12)


def test_a_reader_who_is_always_higher_lowers_agreement_and_not_consistency():
    values = np.array([[1, 2], [5, 6], [9, 10], [3, 4]], float)
    icc = intraclass_correlation(values, np.ones((1, 4)))
    assert icc.icc_3_1[0] == pytest.approx(1, abs=1e-9)
    assert icc.icc_2_1[0] < 0.97


def test_slides_that_somebody_did_not_read_are_left_out():
    values = np.vstack([PUBLISHED, [5, np.nan, 5, 5]])
    icc = intraclass_correlation(values, np.ones((1, 7)))
    assert icc.slides == 6
    assert icc.icc_2_1[0] == pytest.approx(0.290, abs=5e-4)


def test_one_value_everywhere_has_no_correlation():
    icc = intraclass_correlation(np.full((5, 3), 2.0), np.ones((1, 5)))
    assert math.isnan(icc.icc_2_1[0])
    assert math.isnan(icc.icc_3_1[0])
