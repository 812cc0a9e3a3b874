"""Refitting of the indicator ranges on labelled cases, with a leave-one-case-out estimate of their accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.indicators.ranges import INDICATORS, FittedOn, IndicatorRanges, Range, decide
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HeldOut", "RangeFit", "fit_ranges"]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A case scored by a table that was fitted without it.

    Attributes
    ----------
    case, label
        The case, and the score that people gave its slides.
    by_all, by_intensity
        Score by all three indicators, and by staining intensity alone; None where no table could be fitted, as the
        case is the only one of its score.
    """

    case: str
    label: str
    by_all: str | None
    by_intensity: str | None


@dataclass(frozen=True, slots=True)
class RangeFit:
    """A fitted table, and each case as a table fitted without it scores it."""

    ranges: IndicatorRanges
    held_out: tuple[HeldOut, ...]


def fit_ranges(
    table: NDArray[np.floating],
    labels: Sequence[str],
    cases: Sequence[str] | None = None,
    name: str = "refit",
    fitted_on: FittedOn | None = None,
) -> RangeFit:
    """Fit ranges to labelled slides as in Table 4 of the paper: minimum and maximum per score.

    Slides of the same case and label are averaged first, so that each case counts once. Each case is also scored by a
    table fitted without it; a case with slides of different labels is left out as a whole.

    Parameters
    ----------
    table
        float (N, 3), columns in the order of `INDICATORS`, 0..1; NaN = not measured.
    labels
        N scores.
    cases
        N case names; without them each slide is a case of its own.
    name
        Origin of the table, in words; score.json names it as the guideline.
    fitted_on
        What the slides were like; kept with the table.

    Returns
    -------
    RangeFit
        The table, with the number of cases behind it and of those tested and scored correctly, and the held-out scores.

    Raises
    ------
    ScoringError
        The columns differ in length, a label is unknown, or a score has no measured case.
    """
    values = np.asarray(table, float)
    case_ids = list(cases) if cases is not None else [str(number) for number in range(len(values))]
    lengths = {len(values), len(labels), len(case_ids)}
    if values.ndim != 2 or values.shape[1] != len(INDICATORS) or len(lengths) != 1:
        raise ScoringError(
            f"Expected indicators of shape (N, 3), N labels and N cases; got {values.shape}, {len(labels)}, "
            f"{len(case_ids)}."
        )
    unknown = sorted(set(labels) - set(SCORES))
    if unknown:
        raise ScoringError(f"Unknown labels {', '.join(map(repr, unknown))}; expected {', '.join(SCORES)}.")
    # Slides of one case resemble each other: counted singly they would only inflate the number of cases.
    groups: dict[tuple[str, str], list[int]] = {}
    for number, key in enumerate(zip(case_ids, labels, strict=True)):
        groups.setdefault(key, []).append(number)
    # A case with slides of different labels stays in several groups but is left out as a whole in the test below.
    means = np.array([_mean(values[rows]) for rows in groups.values()])
    grades = np.array([SCORES.index(label) for _, label in groups])
    case_names = np.array([case for case, _ in groups])
    ranges = _ranges(means, grades, name)
    held_out = _leave_one_case_out(means, grades, case_names)
    tested = [one for one in held_out if one.by_all is not None]
    right = sum(one.by_all == one.label for one in tested)
    fitted = IndicatorRanges(name, ranges, len(set(case_ids)), len(tested), right, fitted_on)
    return RangeFit(fitted, held_out)


def _mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    seen = (~np.isnan(rows)).sum(axis=0)
    # Not np.nanmean, which warns about columns that were never measured.
    return np.where(seen > 0, np.nansum(rows, axis=0) / np.maximum(seen, 1), np.nan)


def _ranges(means: NDArray[np.float64], grades: NDArray[np.intp], name: str) -> dict[str, tuple[Range, ...]]:
    ranges = {}
    for column, indicator in enumerate(INDICATORS):
        rows = []
        for grade, score in enumerate(SCORES):
            seen = means[grades == grade, column]
            seen = seen[~np.isnan(seen)]
            if not len(seen):
                raise ScoringError(f"'{name}': no case labelled {score} has a measured {indicator}.")
            rows.append((float(seen.min()), float(seen.max())))
        ranges[indicator] = tuple(rows)
    return ranges


def _leave_one_case_out(
    means: NDArray[np.float64], grades: NDArray[np.intp], case_names: NDArray[np.str_]
) -> tuple[HeldOut, ...]:
    found = []
    for case in sorted(set(case_names.tolist())):
        out = case_names == case
        kept = [means[~out & (grades == grade)] for grade in range(len(SCORES))]
        # The only case of a score cannot be left out: the table would have no range for that score.
        is_only = any(not len(rows) or np.isnan(rows).all(axis=0).any() for rows in kept)
        if is_only:
            found += [HeldOut(case, SCORES[grade], None, None) for grade in grades[out].tolist()]
            continue
        ranges = _ranges(means[~out], grades[~out], "held out")
        without = IndicatorRanges("held out", ranges, int((~out).sum()))
        for values, grade in zip(means[out].tolist(), grades[out].tolist(), strict=True):
            by_all, alone = decide(values, without), decide(values, without, use=INDICATORS[:1])
            found.append(HeldOut(case, SCORES[grade], by_all.score, alone.score))
    return tuple(found)
