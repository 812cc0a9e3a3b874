"""Existing cells in which no nucleus is detected: pieces of membrane that another program took for cells.

In a core with strongly stained membranes, QuPath's own detection with its usual settings outlined 851 cells where ours
found 373; 614 of them held no nucleus, and 489 of these were read as 2+ or 3+. Their classes are those of the stain at
their place, so that the image's score, 3+ instead of 2+, looks as sound as any.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["empty_outlines_warning"]

#: Share of cells without a nucleus above which there is a warning: a fifth in a real core of score 1+, seven of ten in
#: the core described above, each with QuPath's detection.
_MAX_EMPTY_SHARE = 0.4
#: Fewer cells than this say nothing about an image.
_FEWEST_CELLS = 50


def empty_outlines_warning(is_detected: NDArray[np.bool_]) -> str | None:
    """Return the sentence for the report where most existing cells hold no nucleus, else None.

    Parameters
    ----------
    is_detected
        bool (N), whether a nucleus was detected in each cell, see `TileCells`.

    Returns
    -------
    str | None
        With the number of such cells; None also where cells are few.
    """
    n = len(is_detected)
    empty = n - int(np.count_nonzero(is_detected))
    if n < _FEWEST_CELLS or empty <= _MAX_EMPTY_SHARE * n:
        return None
    return (
        f"{empty:,} of {n:,} existing cells ({empty / n:.0%}) hold no nucleus that is found here. They count all the "
        "same, though they may be pieces of membranes. Look at them in QuPath, or have the cells found and scored anew."
    )
