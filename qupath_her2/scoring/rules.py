"""HER2 guidelines as data, and the one evaluator that applies them.

A guideline is an ordered list of rows, strongest first. A row names the cells it counts, as a set of
(intensity, pattern) pairs, and the cut-off their number must pass. Sets are cumulative: a cell that meets a
stronger row also counts in the weaker ones, so more staining never lowers a score. The first row that is met
gives the score; if none is met, the score is 0.

Sources: Wolff et al. 2018 (doi 10.5858/arpa.2018-0902-SA), Wolff et al. 2023 (doi 10.5858/arpa.2023-0950-SA),
Wolff et al. 2013 (doi 10.1200/JCO.2013.50.9984), CSCO 2021 as printed in Table 1 of Che et al. 2023
(doi 10.3390/diagnostics13020263), Bartley et al. 2016 for gastric cancer (doi 10.5858/arpa.2016-0331-CP).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from qupath_her2.errors import ScoringError
from qupath_her2.records import INTENSITIES, NOT_MEASURED, PATTERNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "SCORES",
    "Cutoff",
    "Guideline",
    "Row",
    "Uncovered",
    "Verdict",
    "cell_classes",
    "counted_by",
    "evaluate",
    "fact_counts",
    "row_amounts",
    "stained_count",
]

#: Scores in rising order; the index is also the index into `records.CELL_CLASSES`.
SCORES: tuple[str, ...] = ("0", "1+", "2+", "3+")

Fact = tuple[int, int]
_FACTS = len(INTENSITIES) * len(PATTERNS)


@dataclass(frozen=True, slots=True)
class Cutoff:
    """The cut-off that a row's cells must pass.

    `kind` is ``above`` (more than `value` %), ``at least`` (`value` % or more), ``up to`` (present, in at
    most `value` %) or ``cluster`` (a connected group of at least `value` cells, whatever the percentage).
    """

    kind: Literal["above", "at least", "up to", "cluster"]
    value: int

    def bounds(self, n_cells: int, false_calls: int = 0) -> tuple[int, int]:
        """Return the smallest and the largest number of cells that pass the cut-off, both included.

        Integer arithmetic throughout: 10 of 100 cells are not above 10 %, whatever rounding does to 0.1.
        `false_calls` is the number of stained cells that classification errors alone may produce; only
        ``up to`` requires more than that, because a single cell could pass it.
        """
        whole = self.value * n_cells
        if self.kind == "above":
            return whole // 100 + 1, n_cells
        if self.kind == "at least":
            # -(-a // b) rounds up; at least one cell, or a cut-off of 0 % would be met without any cell.
            return max(1, -(-whole // 100)), n_cells
        # Without the allowance one misclassified cell would make a tumour heterogeneous, 2+.
        if self.kind == "up to":
            return false_calls + 1, whole // 100
        return self.value, n_cells


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a guideline: its wording, the (intensity, pattern) pairs it counts, and its cut-off."""

    score: str
    words: str
    cells: frozenset[Fact]
    cutoff: Cutoff
    uncommon: bool = False


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A staining pattern that the printed table does not place, while the score is lower than `below`."""

    words: str
    cells: frozenset[Fact]
    below: str


@dataclass(frozen=True, slots=True)
class Guideline:
    """A rule table: `key` for settings, `name` for reports, `rows` strongest first."""

    key: str
    name: str
    source: str
    site: Literal["breast", "gastric"]
    rows: tuple[Row, ...]
    uncovered: tuple[Uncovered, ...]

    @property
    def by_cluster(self) -> bool:
        """Whether the rows count connected groups of cells instead of shares."""
        return any(row.cutoff.kind == "cluster" for row in self.rows)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of `evaluate`: the score, the row that gave it (None for 0), and notes to show with it."""

    score: str
    row: Row | None
    notes: tuple[str, ...] = ()


def _mask(cells: frozenset[Fact]) -> NDArray[np.bool_]:
    mask = np.zeros((len(INTENSITIES), len(PATTERNS)), bool)
    for intensity, pattern in cells:
        mask[intensity, pattern] = True
    return mask


def cell_classes(
    intensity: NDArray[np.uint8], pattern: NDArray[np.uint8], guideline: Guideline
) -> NDArray[np.uint8]:
    """Classify each cell as Negative, 1+, 2+ or 3+ by the rows of a guideline.

    Parameters
    ----------
    intensity, pattern
        uint8 (N,), indices into `records.INTENSITIES` and `records.PATTERNS`, 255 = not measured.
    guideline
        The rule table; a cell belongs to the strongest row that counts it.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (N,), index into `records.CELL_CLASSES`; 255 where intensity or pattern was not measured.

    Raises
    ------
    ScoringError
        The arrays differ in length or contain a code that is neither 0..3 nor 255.
    """
    _check_facts(intensity, pattern)
    table = np.zeros((len(INTENSITIES), len(PATTERNS)), np.uint8)
    # Rows overlap (sets are cumulative), so the strongest class wins wherever several count the same pair.
    for row in reversed(guideline.rows):
        mask = _mask(row.cells)
        table[mask] = np.maximum(table[mask], SCORES.index(row.score))
    measured = (intensity != NOT_MEASURED) & (pattern != NOT_MEASURED)
    classes = np.full(len(intensity), NOT_MEASURED, np.uint8)
    classes[measured] = table[intensity[measured], pattern[measured]]
    return classes


def counted_by(row: Row, intensity: NDArray[np.uint8], pattern: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which cells a row of a guideline counts.

    Parameters
    ----------
    row
        The row.
    intensity, pattern
        uint8 (N,), indices into `records.INTENSITIES` and `records.PATTERNS`, 255 = not measured.

    Returns
    -------
    NDArray[np.bool_]
        bool (N,); a cell that was not measured is not counted.
    """
    measured = (intensity != NOT_MEASURED) & (pattern != NOT_MEASURED)
    counted = np.zeros(len(intensity), bool)
    counted[measured] = _mask(row.cells)[intensity[measured], pattern[measured]]
    return counted


def fact_counts(intensity: NDArray[np.uint8], pattern: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the measured cells by intensity and pattern: int64 (4, 4)."""
    _check_facts(intensity, pattern)
    measured = (intensity != NOT_MEASURED) & (pattern != NOT_MEASURED)
    # One code per pair: a single bincount is far faster than np.add.at on 10^5 cells.
    codes = intensity[measured].astype(np.int64) * len(PATTERNS) + pattern[measured]
    return np.bincount(codes, minlength=_FACTS).reshape(len(INTENSITIES), len(PATTERNS)).astype(np.int64)


def _check_facts(intensity: NDArray[np.uint8], pattern: NDArray[np.uint8]) -> None:
    if intensity.shape != pattern.shape or intensity.ndim != 1:
        raise ScoringError(
            f"intensity {intensity.shape} and pattern {pattern.shape} must be 1-D and of the same length."
        )
    for name, codes in (("intensity", intensity), ("pattern", pattern)):
        # A pattern code of 4 would be counted as the next intensity, without any error.
        bad = (codes > 3) & (codes != NOT_MEASURED)
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise ScoringError(
                f"{name} of cell {at} is {int(codes[at])}; expected 0..3, or 255 for not measured."
            )


def row_amounts(counts: NDArray[np.int64], guideline: Guideline) -> tuple[int, ...]:
    """Return how many cells each row counts, in the order of the rows."""
    return tuple(int(counts[_mask(row.cells)].sum()) for row in guideline.rows)


def stained_count(counts: NDArray[np.int64]) -> int:
    """Return the number of cells that have both an intensity and a pattern."""
    return int(counts[1:, 1:].sum())


def evaluate(
    counts: NDArray[np.int64],
    guideline: Guideline,
    *,
    false_calls: int = 0,
    clusters: Sequence[int] | None = None,
) -> Verdict:
    """Apply a guideline to a histogram of cells.

    Parameters
    ----------
    counts
        int64 (4, 4), cells by intensity and pattern (`fact_counts`).
    guideline
        The rule table.
    false_calls
        Number of stained cells that classification errors alone may produce; 0 applies the guideline to the
        letter.
    clusters
        Size of the largest connected group of each row's cells; only cluster guidelines need it.

    Returns
    -------
    Verdict
        Score, deciding row, and a ``pattern_not_covered`` note for each pattern the table does not place.

    Raises
    ------
    ScoringError
        No cell was measured, or a cluster guideline got no cluster sizes.
    """
    n_cells = int(counts.sum())
    if n_cells == 0:
        raise ScoringError("No measured cells to score. Check the tumour regions and the detection settings.")
    if guideline.by_cluster and clusters is None:
        raise ScoringError(f"'{guideline.name}' scores clusters of cells and needs the cells' centroids.")
    amounts = row_amounts(counts, guideline)
    # Strongest first: the first row that is met decides, as a pathologist reads the table from the top.
    for number, row in enumerate(guideline.rows):
        amount = (
            clusters[number] if clusters is not None and row.cutoff.kind == "cluster" else amounts[number]
        )
        low, high = row.cutoff.bounds(n_cells, false_calls)
        if low <= amount <= high:
            return Verdict(row.score, row, _notes(counts, guideline, row.score, false_calls))
    return Verdict(SCORES[0], None, _notes(counts, guideline, SCORES[0], false_calls))


def _notes(counts: NDArray[np.int64], guideline: Guideline, score: str, false_calls: int) -> tuple[str, ...]:
    """Describe each pattern that is present but that the printed table does not place."""
    n_cells = int(counts.sum())
    notes = []
    for pattern in guideline.uncovered:
        amount = int(counts[_mask(pattern.cells)].sum())
        # From the score `below` on, the pattern is covered: those cells count in a row that was met.
        if amount and SCORES.index(score) < SCORES.index(pattern.below):
            floor = ", within the noise floor" if amount <= false_calls else ""
            notes.append(f"pattern_not_covered: {pattern.words} ({100 * amount / n_cells:.2g} %{floor})")
    return tuple(notes)
