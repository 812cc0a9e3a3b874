"""From three indicators to a score: the published ranges and the rule that reads them.

Che et al. 2023, Table 4 (doi 10.3390/diagnostics13020263), gives for each score the least and the largest
value of each indicator. The ranges overlap (an intensity of 0.007 is both 0 and 1+) and leave gaps (0.367 to
0.541 is nothing). The paper calls staining intensity "the main reference basis" and does not say how the
other two join in. The rule here:

1. Intensity names the candidates: the scores whose range holds it, or the two nearest where it falls in a
gap.
   The lowest range is open downwards and the highest upwards: more brown than any 3+ seen is no case against
   3+.
2. Of several candidates, the one nearest by the two cell ratios wins: mean distance outside its ranges, 0
inside,
   in units of the ratio's span over all scores.
3. A tie goes to the range nearest by intensity, then to the one whose middle is nearest, then to the lower
score.

The values are one hospital's, one scanner's and one brown threshold's; `fit` makes one's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.errors import OutputError, ScoringError, SettingsError
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "INDICATORS",
    "PUBLISHED",
    "Decision",
    "IndicatorRanges",
    "decide",
    "load_ranges",
    "nearest_by_ratios",
    "save_ranges",
]

#: The indicators in the order of every table here.
INDICATORS: tuple[str, ...] = ("intensity", "positive_ratio", "circumferential_ratio")
_FORMAT = 1
_TIE = 1e-9

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class IndicatorRanges:
    """A decision table: (least, largest) of each indicator for each score.

    Attributes
    ----------
    name
        Where the table comes from, in words.
    ranges
        {indicator: ranges of 0, 1+, 2+, 3+}.
    n_cases
        Labelled cases it was made from.
    tested, right
        Cases scored by a table that had not seen them, and how many of those came out as
        labelled; 0 and 0 when that was not possible.
    """

    name: str
    ranges: dict[str, tuple[Range, ...]]
    n_cases: int
    tested: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        for indicator in INDICATORS:
            rows = self.ranges.get(indicator, ())
            if len(rows) != len(SCORES) or not all(0 <= low <= high <= 1 for low, high in rows):
                raise SettingsError(
                    f"Ranges '{self.name}': {indicator} needs four (least, largest) in 0..1, not {rows}."
                )

    def bounds(self) -> NDArray[np.float64]:
        """Return float64 (3 indicators, 4 scores, 2 ends)."""
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
    """A score and how it came about.

    `candidates` are the scores that intensity left open; `by` tells what settled it (``intensity``,
    ``cell ratios``, ``nearest range``); `margin` is how much farther the runner-up lies, in spans, 0 = a
    toss.
    """

    score: str
    candidates: tuple[str, ...]
    by: str
    margin: float


def decide(
    values: Sequence[float], ranges: IndicatorRanges = PUBLISHED, use: Sequence[str] = INDICATORS
) -> Decision:
    """Return the score of three indicators by the rule at the top of this module.

    Parameters
    ----------
    values
        intensity, positive-cell ratio, circumferential ratio, each 0..1; a ratio may be NaN = not
        measured.
    use
        The indicators that count; ``("intensity",)`` is the paper's "staining only".

    Raises
    ------
    ScoringError : not three values, a value outside 0..1, or no intensity.
    """
    given = np.asarray(values, float)
    valid = given.shape == (len(INDICATORS),) and not np.isnan(given[0])
    if not valid or not np.all(np.isnan(given) | ((given >= 0) & (given <= 1))):
        raise ScoringError(f"Indicators are {', '.join(INDICATORS)}, each 0..1; got {list(values)}.")
    outside, to_middle = _distances(given, ranges)
    inside = np.flatnonzero(outside[0] <= _TIE)
    candidates = inside if len(inside) else np.sort(np.argsort(outside[0], kind="stable")[:2])
    names = tuple(SCORES[k] for k in candidates)
    if len(candidates) == 1:
        others = np.delete(outside[0], candidates[0])
        return Decision(names[0], names, "intensity", float(others.min()))
    ratios = [k for k in (1, 2) if INDICATORS[k] in use and not np.isnan(given[k])]
    by_ratio = outside[ratios].mean(axis=0) if ratios else np.zeros(len(SCORES))
    trials = [("cell ratios", by_ratio), ("nearest range", outside[0]), ("nearest range", to_middle[0])]
    by, distance = next((trial for trial in trials if _differ(trial[1][candidates])), trials[-1])
    ranked = np.sort(distance[candidates])
    best = candidates[int(np.argmin(distance[candidates]))]
    return Decision(SCORES[best], names, by, float(ranked[1] - ranked[0]))


def _differ(distances: NDArray[np.float64]) -> bool:
    least, second = np.sort(distances)[:2]
    return bool(second - least > _TIE)


def nearest_by_ratios(values: Sequence[float], ranges: IndicatorRanges = PUBLISHED) -> tuple[str, ...]:
    """Return the scores nearest by the two cell ratios alone; several where they tie."""
    given = np.asarray(values, float)
    ratios = [k for k in (1, 2) if not np.isnan(given[k])]
    if not ratios:
        return SCORES
    distance = _distances(given, ranges)[0][ratios].mean(axis=0)
    return tuple(SCORES[k] for k in np.flatnonzero(distance <= distance.min() + _TIE))


def _distances(
    given: NDArray[np.float64], ranges: IndicatorRanges
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far outside each range, and how far from its middle, in spans: float64 (3, 4) each."""
    bounds = ranges.bounds()
    span = np.maximum(bounds[..., 1].max(axis=1) - bounds[..., 0].min(axis=1), _TIE)[:, None]
    value = given[:, None]
    to_middle = np.abs(bounds.mean(axis=2) - value) / span
    bounds[:, 0, 0], bounds[:, -1, 1] = 0, 1
    outside = np.maximum(np.maximum(bounds[..., 0] - value, value - bounds[..., 1]), 0) / span
    return outside, to_middle


def save_ranges(ranges: IndicatorRanges, path: Path) -> None:
    """Write a decision table as JSON, format 1.

    Raises
    ------
    OutputError : the file cannot be written.
    """
    data = {
        "format": _FORMAT,
        "name": ranges.name,
        "n_cases": ranges.n_cases,
        "tested": ranges.tested,
        "right": ranges.right,
        "scores": list(SCORES),
        "ranges": {name: [list(row) for row in rows] for name, rows in ranges.ranges.items()},
    }
    try:
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"Cannot write indicator ranges to '{path}': {error.strerror}.") from error


def load_ranges(path: Path) -> IndicatorRanges:
    """Read a decision table that `save_ranges` wrote.

    Raises
    ------
    SettingsError : the file cannot be read, is of another format, or holds values out of range.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"Cannot read indicator ranges from '{path}': {error}.") from error
    if not isinstance(data, Mapping) or data.get("format") != _FORMAT or data.get("scores") != list(SCORES):
        raise SettingsError(f"'{path}' holds no indicator ranges of format {_FORMAT}; make them with `fit`.")
    try:
        ranges = {str(k): tuple((float(a), float(b)) for a, b in rows) for k, rows in data["ranges"].items()}
        numbers = (int(data["n_cases"]), int(data.get("tested", 0)), int(data.get("right", 0)))
        return IndicatorRanges(str(data["name"]), ranges, *numbers)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"Indicator ranges in '{path}' are damaged ({error}); use `fit`.") from error
