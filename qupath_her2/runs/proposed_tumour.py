"""Tumour regions that the program proposed: how a result of theirs is told from one of regions that a person drew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.records import TUMOUR_PROBABILITY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.records import CellTable, Region, Score, SlideScore
    from qupath_her2.runs.types import TumourOrigin

__all__ = ["DRAWN", "NOBODY_CONFIRMED", "region_probabilities", "with_tumour_origin"]

#: Warning wherever proposed regions stand in for the tumour.
NOBODY_CONFIRMED = (
    "Tumour regions were proposed by the program and nobody confirmed them. It cannot tell benign ducts and carcinoma "
    "in situ from invasive carcinoma: only a pathologist can. Accept, edit or draw Tumor regions for a score of the "
    "invasive tumour."
)
#: Tag of a score where a person's regions made a search unnecessary.
DRAWN = "regions drawn by a person; no tumour was searched for"

_IN_PROPOSED = "in tumour regions that the program proposed and nobody confirmed"


def region_probabilities(table: CellTable, n_regions: int) -> NDArray[np.float64]:
    """Return the mean probability of tumour of each region's cells, float64 (n_regions), NaN without cells."""
    if TUMOUR_PROBABILITY not in table.measurement_names:
        return np.full(n_regions, np.nan)
    n = np.bincount(table.region, minlength=n_regions)
    total = np.bincount(table.region, table.column(TUMOUR_PROBABILITY), minlength=n_regions)
    return np.asarray(np.divide(total, n, out=np.full(n_regions, np.nan), where=n > 0), np.float64)


def with_tumour_origin(
    score: SlideScore, origin: TumourOrigin, table: CellTable, regions: tuple[Region, ...]
) -> SlideScore:
    """Return a score whose first sentence says that its regions were proposed, or a tag that nothing was searched for.

    Parameters
    ----------
    score
        Of the image.
    origin
        Where its tumour regions come from.
    table
        Its cells.
    regions
        Its scored regions, into which the cells' `region` points.

    Returns
    -------
    SlideScore
        Unchanged where no search was asked for, or none was made because the image was refused before.
    """
    if origin == "drawn":
        return replace(score, tags=(*score.tags, DRAWN))
    if origin != "proposed" or not regions:
        return score
    probabilities = region_probabilities(table, len(regions)).tolist()
    own = {str(region.uuid): probability for region, probability in zip(regions, probabilities, strict=True)}
    return replace(
        score,
        reason=_reason(score),
        regions={
            uuid: replace(one, reason=_reason(one), tumour_probability=_known(own.get(uuid)))
            for uuid, one in score.regions.items()
        },
    )


def _known(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(value, 4)


def _reason(score: Score) -> str:
    """Return the reason with the origin of the regions in its first sentence."""
    # A slide of TMA cores has no score at all; its cores say where theirs come from.
    if score.refusal_code == "tma_cores":
        return score.reason
    head = score.score if score.score is not None else "Not assessable"
    return score.reason.replace(f"{head}: ", f"{head} {_IN_PROPOSED}: ", 1)
