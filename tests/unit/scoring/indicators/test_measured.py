"""The file of a measured image."""

from __future__ import annotations

import math

import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.scoring.indicators.applicability import MeasuredOn
from qupath_her2.scoring.indicators.measured import measured_json, read_measured
from qupath_her2.scoring.indicators.slide import SlideIndicators

WHERE = MeasuredOn("aperio SS1", "HER2", 0.25, "regions", "ab")


def test_what_was_measured_comes_back() -> None:
    slide = SlideIndicators(0.25, 0.5, 0.125, 7, 900)
    assert read_measured(measured_json(slide, WHERE)) == (slide, WHERE)


def test_a_ratio_without_cells_stays_not_measured() -> None:
    slide, _ = read_measured(measured_json(SlideIndicators(0.25, math.nan, math.nan, 7, 0), WHERE))
    assert math.isnan(slide.positive_ratio)
    assert slide.intensity == 0.25


@pytest.mark.parametrize("data", [b"", b"[]", b'{"format": 2}', b'{"format": 1}'])
def test_a_damaged_file_is_named(data: bytes) -> None:
    with pytest.raises(ExchangeError, match=r"indicators\.json"):
        read_measured(data)
