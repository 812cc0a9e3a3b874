"""Distance to the next score: the fewest cells whose change of class would change the score.

Integer arithmetic on the rows of a guideline. Up: the score rises as soon as one stronger row is met, so the
answer is the smallest shortfall of any stronger row. Down: every row that gives the present score must fail at
once; a cell counted by several overlapping rows leaves all of them together, so those cells are taken first.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from qupath_her2.records import INTENSITIES, PATTERNS
from qupath_her2.scoring.rules import SCORES, Guideline, evaluate, row_amounts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["cells_to_next_score"]


def cells_to_next_score(
    counts: NDArray[np.int64], guideline: Guideline, *, false_calls: int = 0
) -> int | None:
    """Return the fewest cells whose change of class would change the score, up or down.

    Cells change intensity and pattern; their number stays the same. The answer is exact for rows of shares
    (tested against exhaustive search).

    Parameters
    ----------
    counts
        int64 (4, 4), cells by intensity and pattern, at least one cell.
    guideline
        The rule table. Cluster guidelines give None: there the answer depends on where the cells are.
    false_calls
        As in `rules.evaluate`.

    Returns
    -------
    int | None
        Number of cells; None if no change of cells could change the score.
    """
    if guideline.by_cluster:
        return None
    score = SCORES.index(evaluate(counts, guideline, false_calls=false_calls).score)
    steps = [
        *_steps_up(counts, guideline, score, false_calls),
        *_steps_down(counts, guideline, score, false_calls),
    ]
    return min(steps, default=None)


def _steps_up(counts: NDArray[np.int64], guideline: Guideline, score: int, false_calls: int) -> list[int]:
    n_cells = int(counts.sum())
    # One cell more for a row is one step, whatever class the cell had before: any cell may change to any class.
    amounts = row_amounts(counts, guideline)
    steps = []
    for row, amount in zip(guideline.rows, amounts, strict=True):
        low, high = row.cutoff.bounds(n_cells, false_calls)
        # low > high: no whole number of so few cells falls within the row's range of shares.
        if SCORES.index(row.score) > score and low <= min(high, n_cells):
            steps.append(low - amount)
    return steps


def _steps_down(counts: NDArray[np.int64], guideline: Guideline, score: int, false_calls: int) -> list[int]:
    """Return [fewest cells to remove] so that no row of this or a higher score is met; [] for score 0."""
    if score == 0:
        return []
    n_cells = int(counts.sum())
    # No row of a higher score is met now, or it would have given the score: only rows of this score have an excess.
    excess = {}
    for number, (row, amount) in enumerate(zip(guideline.rows, row_amounts(counts, guideline), strict=True)):
        if SCORES.index(row.score) >= score:
            low, high = row.cutoff.bounds(n_cells, false_calls)
            if low <= amount <= high:
                excess[number] = amount - low + 1
    return [_fewest_to_remove(counts, guideline, excess)]


def _fewest_to_remove(counts: NDArray[np.int64], guideline: Guideline, excess: dict[int, int]) -> int:
    """Return how many cells must leave the rows in `excess` so that each row loses its excess.

    Greedy: cells counted by most rows first. This is optimal because the sets of every guideline here are
    closed upwards (more staining never takes a cell out) and no three of them overlap only pairwise.
    """
    members: dict[frozenset[int], int] = {}
    for fact in product(range(len(INTENSITIES)), range(len(PATTERNS))):
        inside = frozenset(number for number in excess if fact in guideline.rows[number].cells)
        members[inside] = members.get(inside, 0) + int(counts[fact])
    left = dict(excess)
    removed = 0
    # A frozenset of rows identifies cells that are interchangeable here, at most 2^rows groups.
    for inside in sorted(members, key=len, reverse=True):
        take = min(members[inside], max((left[number] for number in inside), default=0))
        take = max(take, 0)
        removed += take
        for number in inside:
            left[number] -= take
    return removed
