"""Calibration on three drawn cases lifts the accuracy on others where a shifted stain had lowered it."""

from __future__ import annotations

import pytest

from tests.quality.calibration import FIRST_SEED, draw_case, label_curve, transfer

pytestmark = pytest.mark.quality


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_three_labelled_cases_lift_the_others(scale: float) -> None:
    cases = [draw_case(FIRST_SEED + 50 + number, scale) for number in range(6)]
    found = transfer(cases)
    assert found.before < 0.85
    assert found.after - found.before >= 0.05
    curve = label_curve(cases, draws=3)
    # With the first labels the queue is ahead of chance.
    assert sum(curve.queue[:4]) > sum(curve.random[:4])
