"""Objections against a decision table: another scanner, stain, scale, area or measurement, and values outside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qupath_her2.scoring.indicators.applicability import MeasuredOn, objections
from qupath_her2.scoring.indicators.ranges import PUBLISHED, FittedOn

NAN = float("nan")
FITTED = FittedOn(("aperio SS1",), ("HER2",), (0.25, 0.26), "regions", "ab")
RANGES = replace(PUBLISHED, name="ours", fitted_on=FITTED)
SLIDE = MeasuredOn("aperio SS1", "HER2", 0.25, "regions", "ab")
INSIDE = (0.2, 0.2, 0.5)


def test_the_printed_table_applies_to_no_slide() -> None:
    (said,) = objections(INSIDE, PUBLISHED, SLIDE)
    assert said == (
        "The ranges of Che et al. 2023, Table 4 (CSCO breast 2021) were never fitted on this scanner and stain."
    )


def test_a_fitted_table_applies_to_slides_of_the_same_kind() -> None:
    assert objections(INSIDE, RANGES, SLIDE) == ()
    # A tenth of difference in scale is that of one scanner.
    assert objections(INSIDE, RANGES, replace(SLIDE, pixel_size_um=0.28)) == ()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"scanner": "hamamatsu C13220"},
            "on the scanner aperio SS1, and this is the scanner hamamatsu C13220.",
        ),
        ({"scanner": ""}, "on the scanner aperio SS1, and this is a file that names no scanner."),
        ({"stain": "HER2 SP3"}, "on the stain HER2, and this is HER2 SP3."),
        ({"pixel_size_um": 0.5}, "at 0.25 to 0.26 µm/px, and this image has 0.5."),
        ({"area": "all tissue"}, "in regions, and here all tissue was measured."),
        ({"settings": "cd"}, "with other settings of the measurement ([indicators] in her2.toml)."),
    ],
)
def test_each_difference_is_an_objection(other: dict, said: str) -> None:
    (found,) = objections(INSIDE, RANGES, replace(SLIDE, **other))
    assert found.endswith(said)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        # Positive ratio: published up to 0.338, of a span as wide.
        ((0.2, 0.568, 0.5), "The positive ratio, 0.568, lies outside all ranges (0.000 to 0.338)."),
        ((0.9, 0.2, 0.5), "The intensity, 0.900, lies outside all ranges (0.000 to 0.611)."),
    ],
)
def test_values_far_outside_are_objections(values: tuple[float, ...], said: str) -> None:
    assert objections(values, RANGES, SLIDE) == (said,)


@pytest.mark.parametrize("values", [(0.2, 0.42, 0.5), (0.0, 0.0, 0.0), (0.45, NAN, NAN), (0.75, 0.2, 1.0)])
def test_gaps_and_values_a_little_outside_are_none(values: tuple[float, ...]) -> None:
    assert objections(values, RANGES, SLIDE) == ()
