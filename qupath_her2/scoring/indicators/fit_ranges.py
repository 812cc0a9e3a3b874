"""Refitting of the indicator ranges on labelled cases, with a leave-one-case-out estimate of their accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.indicators.ranges import INDICATORS, IndicatorRanges, Range, decide
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fit_ranges"]


def fit_ranges(
    table: NDArray[np.floating],
    labels: Sequence[str],
    cases: Sequence[str] | None = None,
    name: str = "refit",
) -> IndicatorRanges:
    """Fit ranges to labelled slides as in Table 4 of the paper: minimum and maximum per score.

    Slides of the same case and label are averaged first, so that each case counts once. A leave-one-case-out
    test gives the number of cases that a table fitted without them scores correctly.

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

    Returns
    -------
    IndicatorRanges
        The table, with the number of cases behind it and of those tested and scored correctly.

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
    tested, right = _leave_one_case_out(means, grades, case_names)
    return IndicatorRanges(name, ranges, len(set(case_ids)), tested, right)


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
) -> tuple[int, int]:
    tested = right = 0
    for case in sorted(set(case_names)):
        out = case_names == case
        kept = [means[~out & (grades == grade)] for grade in range(len(SCORES))]
        # The only case of a score cannot be left out: the table would have no range for that score.
        if any(not len(rows) or np.isnan(rows).all(axis=0).any() for rows in kept):
            continue
        table = IndicatorRanges("held out", _ranges(means[~out], grades[~out], "held out"), int((~out).sum()))
        for values, grade in zip(means[out], grades[out], strict=True):
            tested += 1
            right += decide(values.tolist(), table).score == SCORES[grade]
    return tested, right
