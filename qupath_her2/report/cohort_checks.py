"""Checks of a cohort: scores by group, slides unlike the others, and staining that drifts.

A difference between scanners or months is a question, not an answer: cases may differ as well. What is said is how
large it is, and how likely by chance.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Drift", "GroupEffect", "Outlier", "drifts", "group_effects", "month_of", "outliers"]

#: Modified z-score beyond which a value is unlike the others (Iglewicz and Hoaglin, How to Detect and Handle Outliers,
#: ASQC 1993).
_OUTLIER_Z = 3.5
#: Median absolute deviation of a normal distribution, in standard deviations.
_MAD_SD = 0.6745
#: Fewer values make no group, no trend and no outlier.
_ENOUGH = 5
#: What is compared, and its words.
CHECKED: dict[str, str] = {
    "h_score": "H-score",
    "glass_grey": "Brightness of the glass",
    "cytoplasm_dab_od": "DAB of the cytoplasm, OD",
    "membrane_dab_od": "DAB of membranes, OD",
}
#: Staining and glass should not depend on the day; the H-score may, with the cases.
_DRIFTING = ("glass_grey", "cytoplasm_dab_od", "membrane_dab_od")


@dataclass(frozen=True, slots=True)
class GroupEffect:
    """Images by scanner, month or stain group.

    Attributes
    ----------
    by
        What the images are grouped by, in words.
    counts
        {group: {score: images}}.
    medians
        {group: {checked value: median}}.
    p_values, effects
        {checked value: p of Kruskal and Wallis, and its effect size epsilon squared, 0 to 1}; empty for fewer than two
        groups of `_ENOUGH` images.
    """

    by: str
    counts: dict[str, Counter[str]]
    medians: dict[str, dict[str, float]]
    p_values: dict[str, float] = field(default_factory=dict)
    effects: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drift:
    """A value over time: Spearman's correlation with the date, and its p."""

    name: str
    correlation: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Outlier:
    """An image unlike the others of its stain kind: the value, their median, and the modified z-score."""

    image: str
    name: str
    value: float
    median: float
    z: float


def month_of(row: Mapping[str, Any]) -> str | None:
    """Return the month of a row's date, ``2026-11``; None without a date."""
    date = row["date"]
    return str(date)[:7] if date and len(str(date)) >= 7 else None


def group_effects(images: Sequence[Mapping[str, Any]]) -> list[GroupEffect]:
    """Return the images by scanner, month and stain group, where there are at least two groups.

    Parameters
    ----------
    images
        Rows of the cohort's table, of level ``image``.

    Returns
    -------
    list[GroupEffect]
        With tests where the groups are large enough.
    """
    keys: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
        "scanner": lambda row: row["scanner"],
        "month": month_of,
        "stain group": lambda row: row["stain_group"] and f"{row['stain_kind']}: {row['stain_group']}",
    }
    found = []
    for by, key in keys.items():
        groups: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in images:
            name = key(row)
            if name:
                groups[name].append(row)
        if len(groups) > 1:
            found.append(_effect(by, dict(sorted(groups.items()))))
    return found


def _effect(by: str, groups: dict[str, list[Mapping[str, Any]]]) -> GroupEffect:
    values = {name: {group: _known(rows, name) for group, rows in groups.items()} for name in CHECKED}
    medians = {
        group: {name: statistics.median(of[group]) for name, of in values.items() if of[group]}
        for group in groups
    }
    p_values, effects = {}, {}
    for name, of in values.items():
        large = [one for one in of.values() if len(one) >= _ENOUGH]
        # Equal values throughout have no ranks to compare.
        if len(large) > 1 and len({value for one in large for value in one}) > 1:
            p_values[name], effects[name] = _kruskal(large)
    counts = {
        group: Counter(str(row["score"] or row["status"]) for row in rows) for group, rows in groups.items()
    }
    return GroupEffect(by, counts, medians, p_values, effects)


def _kruskal(groups: list[list[float]]) -> tuple[float, float]:
    """Return p and epsilon squared = H / (n - 1) (Tomczak and Tomczak, Trends Sport Sci 2014;21:19-25)."""
    # Imported here: a run without a cohort needs none of its 270 modules.
    from scipy.stats import kruskal

    found = kruskal(*groups)
    n = sum(map(len, groups))
    return float(found.pvalue), max(0.0, float(found.statistic) / (n - 1))


def _spearman(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return Spearman's correlation and its two-sided p."""
    from scipy.stats import spearmanr

    found = spearmanr(x, y)
    return float(found.statistic), float(found.pvalue)


def drifts(images: Sequence[Mapping[str, Any]]) -> list[Drift]:
    """Return how staining and glass go with the date, of values known for enough dated images."""
    found = []
    for name in _DRIFTING:
        pairs = sorted(
            (str(row["date"]), float(row[name])) for row in images if row["date"] and row[name] is not None
        )
        dates, values = [date for date, _ in pairs], [value for _, value in pairs]
        if len(pairs) < _ENOUGH or len(set(dates)) < 2 or len(set(values)) < 2:
            continue
        # Dates of the ISO form sort as text.
        place = {date: number for number, date in enumerate(sorted(set(dates)))}
        correlation, p = _spearman([float(place[date]) for date in dates], values)
        found.append(Drift(name, correlation, p))
    return found


def outliers(images: Sequence[Mapping[str, Any]]) -> list[Outlier]:
    """Return images whose staining or glass is unlike that of the others of their stain kind, the strangest first."""
    kinds: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in images:
        kinds[str(row["stain_kind"])].append(row)
    found = []
    for rows in kinds.values():
        for name in _DRIFTING:
            values = _known(rows, name)
            if len(values) < _ENOUGH:
                continue
            median = statistics.median(values)
            mad = statistics.median(abs(value - median) for value in values)
            for row in rows:
                z = _z(row[name], median, mad)
                if abs(z) > _OUTLIER_Z:
                    found.append(Outlier(str(row["image"]), name, float(row[name]), median, z))
    return sorted(found, key=lambda one: (-abs(one.z), one.image))


def _z(value: float | None, median: float, mad: float) -> float:
    # Of more than half equal values the others would all be infinitely far.
    return 0.0 if value is None or mad == 0 else _MAD_SD * (value - median) / mad


def _known(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row[name] is not None and not math.isnan(float(row[name]))]
