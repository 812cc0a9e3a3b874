"""Existing cells in which no nucleus is detected: pieces of membrane that another program took for cells.

In a core with strongly stained membranes, QuPath's own detection with its usual settings outlined 851 cells where ours
found 373; 614 of them held no nucleus, and 489 of these were read as 2+ or 3+. Their classes are those of the stain at
their place: the image's score, 3+ instead of 2+, looked as sound as any. Where many cells are of this kind, they are
therefore left without a class and not counted. Where few are, they count: a program that finds nuclei well also finds
some that are not found here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.tile_cells import TileCells

__all__ = [
    "EmptyOutlines",
    "empty_outlines",
    "uncounted_sentence",
    "without_empty_outlines",
    "without_measurements",
]

#: Share of cells without a nucleus above which they do not count. QuPath's detection in four settings outlined 100
#: cells or more in 56 tries on 21 pictures that had a score by own cells (11 windows of cores, 2 breast fields, 8 drawn
#: fields). Up to 0.4, all 23 tries had that score whether these cells counted or not. Above, 9 of 33 had another score
#: where they counted; where they did not, 2 had (3+ cells 11 and 12 % by own cells, the cut-off being 10 %), and 9 had
#: too few cells left for a score.
_MAX_EMPTY_SHARE = 0.4
#: Fewer cells than this say nothing about an image.
_FEWEST_CELLS = 50


@dataclass(frozen=True, slots=True)
class EmptyOutlines:
    """Existing cells that do not count, since so many of an image hold no nucleus.

    Attributes
    ----------
    n_empty, n_cells
        Cells without a nucleus, and all cells of the scored regions.
    """

    n_empty: int
    n_cells: int

    @property
    def warning(self) -> str:
        """The sentence for the report."""
        return (
            f"{self.n_empty:,} of {self.n_cells:,} existing cells ({self.n_empty / self.n_cells:.0%}) hold no nucleus "
            "that is found here, and may be pieces of membranes: they have no class and are not counted. Look at them "
            "in QuPath, or have the cells found and scored anew."
        )


def uncounted_sentence(n_empty: int) -> str:
    """Return the sentence for the score on existing cells that do not count; "" for none."""
    if n_empty == 0:
        return ""
    cells, verb = ("cell", "is") if n_empty == 1 else ("cells", "are")
    return f"{n_empty:,} existing {cells} without a nucleus {verb} not counted."


def empty_outlines(is_detected: NDArray[np.bool_]) -> EmptyOutlines | None:
    """Return the existing cells without a nucleus where they are too many to count, else None.

    Parameters
    ----------
    is_detected
        bool (N), whether a nucleus was detected in each cell, see `TileCells`.

    Returns
    -------
    EmptyOutlines | None
        None also where cells are few.
    """
    n = len(is_detected)
    n_empty = n - int(np.count_nonzero(is_detected))
    if n < _FEWEST_CELLS or n_empty <= _MAX_EMPTY_SHARE * n:
        return None
    return EmptyOutlines(n_empty, n)


def without_empty_outlines(found: TileCells) -> tuple[TileCells, EmptyOutlines | None]:
    """Return the cells, without the measurements of those that do not count, and how many these are."""
    empty = empty_outlines(found.is_detected)
    return (found, None) if empty is None else (without_measurements(found), empty)


def without_measurements(found: TileCells) -> TileCells:
    """Return the cells without the measurements of those in which no nucleus is detected: NaN, as for any such cell."""
    empty = ~found.is_detected
    measurements = found.measurements.copy()
    measurements[empty] = np.nan
    return replace(found, measurements=measurements)
