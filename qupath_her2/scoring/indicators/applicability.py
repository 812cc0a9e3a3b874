"""Objections to a decision table on a slide, in sentences.

The ranges depend on the scanner's colours, the stain, the pixels, the measured area and the threshold for brown. By a
table that was fitted elsewhere, drawn 1+ and 2+ fields each scored one class too high. Che et al. 2023 say the same of
theirs: "for a single center dataset, the experimental thresholds can be set via this table" (doi
10.3390/diagnostics13020263). So the printed table is nobody's own until it is fitted again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qupath_her2.scoring.indicators.ranges import INDICATORS, FittedOn, IndicatorRanges

__all__ = ["MeasuredOn", "objections"]

#: A value may lie beyond all ranges by this share of their span: the next slide of a cohort of a few dozen often does.
_BEYOND = 0.25
#: Pixel sizes of one scanner and objective differ by less than this factor.
_SAME_SCALE = 1.1


@dataclass(frozen=True, slots=True)
class MeasuredOn:
    """What a measured slide was like.

    Attributes
    ----------
    scanner
        As its file names it; "" where it names none.
    stain
        As ``cases.csv`` names it.
    pixel_size_um
        µm per level-0 pixel.
    area
        Measured area: ``regions``, ``all tissue`` or ``tumour network``.
    settings
        SHA-256 of the settings of the measurement.
    """

    scanner: str
    stain: str
    pixel_size_um: float
    area: str
    settings: str


def objections(values: Sequence[float], ranges: IndicatorRanges, slide: MeasuredOn) -> tuple[str, ...]:
    """Return the reasons why a decision table does not apply to a slide, as sentences; empty where it does.

    Parameters
    ----------
    values
        The slide's indicators in the order of `INDICATORS`, 0..1; a ratio may be NaN = not measured.
    ranges
        The decision table.
    slide
        What the slide was like.

    Returns
    -------
    tuple[str, ...]
        First how the slide differs from those that the table was fitted to, then the indicators outside the ranges.
    """
    made = ranges.fitted_on
    if made is None:
        found = [f"The ranges of {ranges.name} were never fitted on this scanner and stain."]
    else:
        found = [*_other_slides(made, slide)]
    return (*found, *_outside(values, ranges))


def _other_slides(made: FittedOn, slide: MeasuredOn) -> list[str]:
    found = []
    if slide.scanner not in made.scanners:
        found.append(
            f"The ranges were fitted on {_scanners(made.scanners)}, and this is {_one(slide.scanner)}."
        )
    if slide.stain not in made.stains:
        found.append(
            f"The ranges were fitted on the stain {_listed(made.stains)}, and this is {slide.stain}."
        )
    low, high = made.pixel_size_um
    if not low / _SAME_SCALE <= slide.pixel_size_um <= high * _SAME_SCALE:
        size = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        found.append(f"The ranges were fitted at {size} µm/px, and this image has {slide.pixel_size_um:g}.")
    if slide.area != made.area:
        found.append(f"The ranges were fitted in {made.area}, and here {slide.area} was measured.")
    if slide.settings != made.settings:
        found.append(
            "The ranges were fitted with other settings of the measurement ([indicators] in her2.toml)."
        )
    return found


def _outside(values: Sequence[float], ranges: IndicatorRanges) -> list[str]:
    found = []
    for indicator, value in zip(INDICATORS, values, strict=True):
        low = min(row[0] for row in ranges.ranges[indicator])
        high = max(row[1] for row in ranges.ranges[indicator])
        room = _BEYOND * (high - low)
        if not math.isnan(value) and not low - room <= value <= high + room:
            name = indicator.replace("_", " ")
            found.append(f"The {name}, {value:.3f}, lies outside all ranges ({low:.3f} to {high:.3f}).")
    return found


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)


def _scanners(names: Sequence[str]) -> str:
    return _listed([_one(name) for name in names])


def _one(scanner: str) -> str:
    return f"the scanner {scanner}" if scanner else "a file that names no scanner"
