"""Indicator ranges: from the three indicators to a score, by the published table or a refitted one.

Che et al. 2023, Table 4 (doi 10.3390/diagnostics13020263), gives the minimum and maximum of each indicator for each
score. The ranges overlap (an intensity of 0.007 is both 0 and 1+) and leave gaps (0.367 to 0.541 belongs to none).
The paper calls staining intensity "the main reference basis" and does not say how the other two contribute. The rule
used here:

1. Intensity selects the candidates: the scores whose range contains it, or the two nearest if it falls in a gap.
   The lowest range is open downwards and the highest upwards: more brown than in any 3+ seen is still 3+.
2. Among several candidates, the one nearest by the two cell ratios wins: mean distance outside its ranges, 0
   inside, in units of the ratio's span over all scores.
3. A tie goes to the range nearest by intensity, then to the one whose centre is nearest, then to the lower score.

The published values come from one hospital, one scanner and one threshold for brown; `fit_ranges` derives your own,
and `applicability` tells where a table does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ScoringError, SettingsError
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "INDICATORS",
    "PUBLISHED",
    "Decision",
    "FittedOn",
    "IndicatorRanges",
    "decide",
    "nearest_by_ratios",
]

#: The indicators in the order of every table here.
INDICATORS: tuple[str, ...] = ("intensity", "positive_ratio", "circumferential_ratio")
#: Distances closer than this are equal: they are sums of decimals such as 0.1 that floats do not hold exactly.
_TIE = 1e-9

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FittedOn:
    """What the slides were like that a decision table was fitted to.

    Attributes
    ----------
    scanners
        Scanners, as the files name them; "" for files that name none.
    stains
        Stains, as ``cases.csv`` names them.
    pixel_size_um
        Least and greatest µm per level-0 pixel.
    area
        Measured area: ``regions``, ``all tissue`` or ``tumour network``.
    settings
        SHA-256 of the settings of the measurement.
    images
        Fingerprints of the images.
    """

    scanners: tuple[str, ...]
    stains: tuple[str, ...]
    pixel_size_um: tuple[float, float]
    area: str
    settings: str
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IndicatorRanges:
    """A decision table: (minimum, maximum) of each indicator for each score.

    Attributes
    ----------
    name
        Origin of the table, in words.
    ranges
        {indicator: ranges of 0, 1+, 2+, 3+}, each 0..1.
    n_cases
        Number of labelled cases behind the table.
    tested, right
        Cases scored by a table fitted without them, and how many of those matched their label; 0 and 0 if no
        case could be left out.
    fitted_on
        The slides that the table was fitted to by this package; None for a printed table.
    """

    name: str
    ranges: dict[str, tuple[Range, ...]]
    n_cases: int
    tested: int = 0
    right: int = 0
    fitted_on: FittedOn | None = None

    def __post_init__(self) -> None:
        for indicator in INDICATORS:
            rows = self.ranges.get(indicator, ())
            if len(rows) != len(SCORES) or not all(0 <= low <= high <= 1 for low, high in rows):
                raise SettingsError(
                    f"Ranges '{self.name}': {indicator} needs four (minimum, maximum) pairs in 0..1, got {rows}."
                )

    def bounds(self) -> NDArray[np.float64]:
        """Return the table as an array, float64 (3 indicators, 4 scores, minimum and maximum)."""
        return np.array([self.ranges[indicator] for indicator in INDICATORS], float)


#: Table 4 of the paper, 95 slides scored by CSCO 2021.
PUBLISHED = IndicatorRanges(
    name="Che et al. 2023, Table 4 (CSCO breast 2021)",
    ranges={
        "intensity": ((0.000, 0.008), (0.006, 0.189), (0.146, 0.367), (0.541, 0.611)),
        "positive_ratio": ((0.000, 0.041), (0.004, 0.125), (0.130, 0.318), (0.173, 0.338)),
        "circumferential_ratio": ((0.000, 0.000), (0.011, 0.360), (0.454, 0.741), (0.461, 0.908)),
    },
    n_cases=95,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A score and how it was reached.

    `candidates` are the scores that intensity leaves open; `by` tells what decided among them (``intensity``,
    ``cell ratios``, ``nearest range``); `margin` is how much farther away the runner-up is, in spans, 0 = a tie.
    """

    score: str
    candidates: tuple[str, ...]
    by: str
    margin: float


def decide(
    values: Sequence[float], ranges: IndicatorRanges = PUBLISHED, use: Sequence[str] = INDICATORS
) -> Decision:
    """Return the score of three indicators by the rule described in this module.

    Parameters
    ----------
    values
        Intensity, positive-cell ratio, circumferential ratio, each 0..1; a ratio may be NaN = not measured.
    ranges
        The decision table.
    use
        Indicators to consider; ``("intensity",)`` is the paper's "staining only".

    Returns
    -------
    Decision
        The score, the candidates, what decided, and the margin.

    Raises
    ------
    ScoringError
        There are not three values, a value is outside 0..1, or the intensity is missing.
    """
    given = np.asarray(values, float)
    valid = given.shape == (len(INDICATORS),) and not np.isnan(given[0])
    if not valid or not np.all(np.isnan(given) | ((given >= 0) & (given <= 1))):
        raise ScoringError(f"Expected {', '.join(INDICATORS)}, each 0..1; got {list(values)}.")
    outside, to_middle = _distances(given, ranges)
    inside = np.flatnonzero(outside[0] <= _TIE)
    # In a gap between ranges, the neighbours on both sides are the two nearest.
    candidates = inside if len(inside) else np.sort(np.argsort(outside[0], kind="stable")[:2])
    names = tuple(SCORES[k] for k in candidates)
    # Intensity is the main criterion: where it leaves one score, the ratios cannot overrule it.
    if len(candidates) == 1:
        others = np.delete(outside[0], candidates[0])
        return Decision(names[0], names, "intensity", float(others.min()))
    ratios = [k for k in (1, 2) if INDICATORS[k] in use and not np.isnan(given[k])]
    by_ratio = outside[ratios].mean(axis=0) if ratios else np.zeros(len(SCORES))
    trials = [("cell ratios", by_ratio), ("nearest range", outside[0]), ("nearest range", to_middle[0])]
    # Each criterion is tried in turn; the first that separates the two best candidates decides.
    by, distance = next((trial for trial in trials if _differ(trial[1][candidates])), trials[-1])
    ranked = np.sort(distance[candidates])
    # argmin takes the first of equals, so the last tie goes to the lower score.
    best = candidates[int(np.argmin(distance[candidates]))]
    return Decision(SCORES[best], names, by, float(ranked[1] - ranked[0]))


def _differ(distances: NDArray[np.float64]) -> bool:
    least, second = np.sort(distances)[:2]
    return bool(second - least > _TIE)


def nearest_by_ratios(values: Sequence[float], ranges: IndicatorRanges = PUBLISHED) -> tuple[str, ...]:
    """Return the scores nearest by the two cell ratios alone; several in case of a tie."""
    given = np.asarray(values, float)
    ratios = [k for k in (1, 2) if not np.isnan(given[k])]
    if not ratios:
        return SCORES
    distance = _distances(given, ranges)[0][ratios].mean(axis=0)
    return tuple(SCORES[k] for k in np.flatnonzero(distance <= distance.min() + _TIE))


def _distances(
    given: NDArray[np.float64], ranges: IndicatorRanges
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distances outside each range and from its centre, in spans: float64 (3, 4) each."""
    bounds = ranges.bounds()
    # The floor avoids a division by zero for an indicator that is the same in all scores.
    span = np.maximum(bounds[..., 1].max(axis=1) - bounds[..., 0].min(axis=1), _TIE)[:, None]
    value = given[:, None]
    to_middle = np.abs(bounds.mean(axis=2) - value) / span
    # Outermost ranges are open, but only for the distance outside: centres are those of the printed table.
    bounds[:, 0, 0], bounds[:, -1, 1] = 0, 1
    outside = np.maximum(np.maximum(bounds[..., 0] - value, value - bounds[..., 1]), 0) / span
    return outside, to_middle
