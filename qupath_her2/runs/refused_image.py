"""Result of an image that is not assessable: a refusal is a result too, and is written like any other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.records import CellTable
from qupath_her2.runs.types import FinishedImage
from qupath_her2.scoring.score_cells import score_cells

if TYPE_CHECKING:
    from qupath_her2.records import CaseInfo
    from qupath_her2.runs.types import ImageContext
    from qupath_her2.scoring.score_cells import ScoringSettings

__all__ = ["empty_table", "refused_image"]


def empty_table() -> CellTable:
    """Return a cell table of length 0, for results without cells."""
    # One offset, 0: N cells have N + 1.
    no_points, no_rings = np.empty((0, 2), np.float32), np.zeros(1, np.int64)
    return CellTable(
        uuid=np.empty((0, 16), np.uint8),
        centroid_xy=no_points,
        cell_xy=no_points,
        cell_offsets=no_rings,
        nucleus_xy=no_points,
        nucleus_offsets=no_rings,
        region=np.empty(0, np.int32),
        measurements=np.empty((0, 0), np.float32),
        measurement_names=(),
        cell_class=np.empty(0, np.uint8),
    )


def refused_image(context: ImageContext, case: CaseInfo, scoring: ScoringSettings) -> FinishedImage:
    """Return the result of an image that is not assessable.

    Parameters
    ----------
    context
        With the refusal and the warnings.
    case
        Names the guideline that would have applied.
    scoring
        Guideline and limits.

    Returns
    -------
    FinishedImage
        Without cells and region scores.
    """
    # Through the scoring room, which names the guideline and words the reason as for any other refusal.
    no_cells = np.empty(0, np.uint8)
    _, score = score_cells(
        no_cells,
        no_cells,
        np.empty(0, np.int32),
        [],
        case=case,
        settings=scoring,
        refusal=context.refusal,
        warnings=context.warnings,
    )
    # No core was scored, so the record must not promise scores of cores.
    return FinishedImage(replace(context, by_core=False), score, empty_table())
