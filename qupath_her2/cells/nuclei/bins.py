"""Square bins: the neighbours of a point lie in the 3 x 3 bins around it, whatever the number of points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["sort_into_bins"]


def sort_into_bins(
    points: NDArray[np.float64], side_px: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Sort points into square bins, row by row.

    Parameters
    ----------
    points
        float64 (N, 2), N > 0, x, y, pixels, >= 0.
    side_px
        Side of a bin; points farther apart than this are not found as neighbours.

    Returns
    -------
    tuple[NDArray[np.int64], NDArray[np.int64], int]
        int64 (N), the points bin by bin, in their own order within a bin; int64 (bins + 1), the start of each bin; and
        the number of bins in a row. The bin of x, y is ``int(y / side) * columns + int(x / side)``.
    """
    # One empty column of bins separates the end of a row from the start of the next.
    columns = int(points[:, 0].max() / side_px) + 2
    cells = (points[:, 1] / side_px).astype(np.int64) * columns + (points[:, 0] / side_px).astype(np.int64)
    order = np.argsort(cells, kind="stable")
    first = np.searchsorted(cells[order], np.arange(int(cells.max()) + 2))
    return order, first, columns
