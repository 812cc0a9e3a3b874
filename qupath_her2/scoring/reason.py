"""The sentence under a score: which share of how many cells, against which cut-off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qupath_her2.scoring.intervals import percent_text, wilson_interval
from qupath_her2.scoring.rules import SCORES, Guideline, Row, Verdict, row_amounts, stained_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qupath_her2.scoring.ish import IshResult

__all__ = ["RESEARCH_USE", "explain", "with_sentence"]

#: Last sentence of every reason.
RESEARCH_USE = "Research use only."


def with_sentence(reason: str, sentence: str) -> str:
    """Return a reason with one more sentence, before `RESEARCH_USE`."""
    return f"{reason.removesuffix(RESEARCH_USE).rstrip()} {sentence} {RESEARCH_USE}"


def explain(
    verdict: Verdict,
    counts: NDArray[np.int64],
    guideline: Guideline,
    *,
    clusters: tuple[int, ...] | None = None,
    ish: IshResult | None = None,
) -> str:
    """Explain a score in one or two sentences.

    Parameters
    ----------
    verdict
        Result of `rules.evaluate` for `counts`.
    counts
        int64 (4, 4), cells by intensity and pattern.
    guideline
        The rule table that gave the verdict.
    clusters
        Cluster sizes passed to `rules.evaluate`, for cluster guidelines.
    ish
        ISH result read with this score; without one, a 2+ ends in "ISH is needed."

    Returns
    -------
    str
        E.g. ``3+: 45.0 % of 1,000 tumour cells show intense complete staining (95 % CI 41.9 to 48.1; cut-off
        10 %). Research use only.``
    """
    if guideline.by_cluster:
        text = _cluster_text(verdict, guideline, clusters or ())
    else:
        text = _share_text(verdict, counts, guideline)
    return f"{verdict.score}: {text}{_closing(verdict.score, guideline, ish)} {RESEARCH_USE}"


def _share_text(verdict: Verdict, counts: NDArray[np.int64], guideline: Guideline) -> str:
    n_cells = int(counts.sum())
    row = verdict.row
    # For a 0, the weakest row is the one that was missed: its cut-off is the one to compare with.
    if row is None:
        stained, words, cutoff = stained_count(counts), "any membrane staining", guideline.rows[-1].cutoff
    else:
        stained = row_amounts(counts, guideline)[guideline.rows.index(row)]
        words, cutoff = row.words + _or_stronger(row, counts, guideline), row.cutoff
    low, high = wilson_interval(stained, n_cells)
    limit = f"cut-off {'at least ' if cutoff.kind == 'at least' else ''}{cutoff.value} %"
    shows = "shows" if stained == 1 and n_cells == 1 else "show"
    cells = "tumour cell" if n_cells == 1 else "tumour cells"
    heterogeneous = ", reported as heterogeneous" if row is not None and cutoff.kind == "up to" else ""
    uncommon = ", an uncommon pattern" if row is not None and row.uncommon and cutoff.kind != "up to" else ""
    # `percent_text` adds decimals where rounding would print exactly the cut-off.
    return (
        f"{percent_text(stained, n_cells, cutoff.value)} % of {n_cells:,} {cells} {shows} {words} "
        f"(95 % CI {100 * low:.1f} to {100 * high:.1f}; {limit}){heterogeneous}{uncommon}."
    )


def _or_stronger(row: Row, counts: NDArray[np.int64], guideline: Guideline) -> str:
    """Return " or stronger" where the cumulative share includes cells of a higher-scoring row."""
    above: set[tuple[int, int]] = set()
    for other in guideline.rows:
        if SCORES.index(other.score) > SCORES.index(row.score):
            above |= other.cells
    # The "up to" row counts the very cells of the 3+ row, in a smaller share: none of them is "stronger".
    inside = above & row.cells if row.cutoff.kind != "up to" else set()
    return " or stronger" if any(counts[fact] for fact in inside) else ""


def _cluster_text(verdict: Verdict, guideline: Guideline, clusters: tuple[int, ...]) -> str:
    row = verdict.row
    if row is None:
        needed = guideline.rows[-1].cutoff.value
        largest = max(clusters, default=0)
        return f"no cluster of {needed} or more stained tumour cells (the largest has {largest})."
    size = clusters[guideline.rows.index(row)]
    stronger = "" if row is guideline.rows[0] else " or stronger"
    return (
        f"a cluster of {size:,} tumour cells shows {row.words}{stronger} ({row.cutoff.value} or more needed)."
    )


def _closing(score: str, guideline: Guideline, ish: IshResult | None) -> str:
    if score != "2+":
        return ""
    # The dual-probe groups are a breast rule; a gastric 2+ always asks for ISH.
    if guideline.site == "breast" and ish is not None and ish.amplified is not None:
        name = "ISH" if ish.group is None else f"ISH group {ish.group}"
        return f" {name}: {ish.status}{' if a recount confirms it' if ish.recount else ''}."
    return " ISH is needed."
