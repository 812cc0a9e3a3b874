"""Refit the indicator ranges on labelled cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.indicators.ranges import INDICATORS, IndicatorRanges, Range, decide
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fit"]


def fit(
    table: NDArray[np.floating],
    labels: Sequence[str],
    cases: Sequence[str] | None = None,
    name: str = "refit",
) -> IndicatorRanges:
    """Make ranges from labelled slides, as the paper made Table 4: least and largest value per score.

    Slides of one case with one label are averaged first, so that a case counts once. The honest figure
    beside the table is the number of cases that a table made without them scores right.

    Parameters
    ----------
    table
        float (N, 3), columns in the order of `INDICATORS`, 0..1; NaN = not measured.
    labels
        N scores.
    cases
        N case names; without them each slide is taken for a case.

    Raises
    ------
    ScoringError : columns of different length, an unknown label, or a score without any measured case.
    """
    values = np.asarray(table, float)
    owners = list(cases) if cases is not None else [str(number) for number in range(len(values))]
    lengths = {len(values), len(labels), len(owners)}
    if values.ndim != 2 or values.shape[1] != len(INDICATORS) or len(lengths) != 1:
        raise ScoringError(
            f"Labelled indicators are (N, 3) with N labels and N cases; got {values.shape}, {len(labels)}, "
            f"{len(owners)}."
        )
    unknown = sorted(set(labels) - set(SCORES))
    if unknown:
        raise ScoringError(f"Labels {', '.join(map(repr, unknown))} are not among {', '.join(SCORES)}.")
    groups: dict[tuple[str, str], list[int]] = {}
    for number, key in enumerate(zip(owners, labels, strict=True)):
        groups.setdefault(key, []).append(number)
    means = np.array([_mean(values[rows]) for rows in groups.values()])
    grades = np.array([SCORES.index(label) for _, label in groups])
    named = np.array([case for case, _ in groups])
    ranges = _ranges(means, grades, name)
    tested, right = _leave_one_case_out(means, grades, named)
    return IndicatorRanges(name, ranges, len(set(owners)), tested, right)


def _mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    seen = (~np.isnan(rows)).sum(axis=0)
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
    means: NDArray[np.float64], grades: NDArray[np.intp], named: NDArray[np.str_]
) -> tuple[int, int]:
    tested = right = 0
    for case in sorted(set(named)):
        out = named == case
        kept = [means[~out & (grades == grade)] for grade in range(len(SCORES))]
        # The last case of a score cannot be left out: there would be no range to compare it with.
        if any(not len(rows) or np.isnan(rows).all(axis=0).any() for rows in kept):
            continue
        table = IndicatorRanges("held out", _ranges(means[~out], grades[~out], "held out"), int((~out).sum()))
        for values, grade in zip(means[out], grades[out], strict=True):
            tested += 1
            right += decide(values.tolist(), table).score == SCORES[grade]
    return tested, right
