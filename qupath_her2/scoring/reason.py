"""The sentence under a score: what was counted, out of how many, against which limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qupath_her2.scoring.intervals import percent_text, wilson_interval
from qupath_her2.scoring.rules import SCORES, Guideline, Row, Verdict, row_amounts, stained_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qupath_her2.scoring.ish import IshResult

__all__ = ["RESEARCH_USE", "explain"]

#: Closes every reason.
RESEARCH_USE = "Research use only."


def explain(
    verdict: Verdict,
    counts: NDArray[np.int64],
    guideline: Guideline,
    *,
    clusters: tuple[int, ...] | None = None,
    ish: IshResult | None = None,
) -> str:
    """Return the reason of a score in words: what share of how many cells shows what, against which limit.

    Parameters
    ----------
    verdict
        What `guideline.evaluate` returned for `counts`.
    clusters
        Sizes given to it, for guidelines of clusters.
    ish
        The ISH reading that goes with this score; without one a breast 2+ ends in "ISH is needed."
    """
    if guideline.by_cluster:
        text = _cluster_text(verdict, guideline, clusters or ())
    else:
        text = _share_text(verdict, counts, guideline)
    return f"{verdict.score}: {text}{_closing(verdict.score, guideline, ish)} {RESEARCH_USE}"


def _share_text(verdict: Verdict, counts: NDArray[np.int64], guideline: Guideline) -> str:
    n_cells = int(counts.sum())
    row = verdict.row
    if row is None:
        stained, words, cut = stained_count(counts), "any membrane staining", guideline.rows[-1].cut
    else:
        stained = row_amounts(counts, guideline)[guideline.rows.index(row)]
        words, cut = row.words + _or_stronger(row, counts, guideline), row.cut
    low, high = wilson_interval(stained, n_cells)
    limit = f"from {cut.value} % on" if cut.kind == "at least" else f"limit {cut.value} %"
    shows = "shows" if stained == 1 and n_cells == 1 else "show"
    cells = "tumour cell" if n_cells == 1 else "tumour cells"
    heterogeneous = ", which is reported as heterogeneous" if row is not None and cut.kind == "up to" else ""
    uncommon = ", an uncommon pattern" if row is not None and row.uncommon and cut.kind != "up to" else ""
    return (
        f"{percent_text(stained, n_cells, cut.value)} % of {n_cells:,} {cells} {shows} {words} "
        f"(95 % {100 * low:.1f} to {100 * high:.1f}; {limit}){heterogeneous}{uncommon}."
    )


def _or_stronger(row: Row, counts: NDArray[np.int64], guideline: Guideline) -> str:
    """Say so where the cumulative share holds cells that stand in a row of a higher score."""
    above: set[tuple[int, int]] = set()
    for other in guideline.rows:
        if SCORES.index(other.score) > SCORES.index(row.score):
            above |= other.cells
    inside = above & row.cells if row.cut.kind != "up to" else set()
    return " or stronger" if any(counts[fact] for fact in inside) else ""


def _cluster_text(verdict: Verdict, guideline: Guideline, clusters: tuple[int, ...]) -> str:
    row = verdict.row
    if row is None:
        needed = guideline.rows[-1].cut.value
        largest = max(clusters, default=0)
        return f"no cluster of {needed} or more stained tumour cells (the largest has {largest})."
    size = clusters[guideline.rows.index(row)]
    return (
        f"a cluster of {size:,} tumour cells shows {row.words} or more ({row.cut.value} or more are needed)."
    )


def _closing(score: str, guideline: Guideline, ish: IshResult | None) -> str:
    if score != "2+":
        return ""
    if guideline.site == "breast" and ish is not None and ish.amplified is not None:
        name = "ISH" if ish.group is None else f"ISH group {ish.group}"
        return f" {name}: {ish.status}{' if a recount agrees' if ish.recount else ''}."
    return " ISH is needed."
