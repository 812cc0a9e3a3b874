"""Cells of overlapping regions: each region counts all cells that QuPath counts in it, the image each cell once.

A cell belongs to one region (`qupath_her2.regions`), its parent in QuPath. For its own counts of an annotation QuPath
asks only whether the centroid of a cell lies in it: where tumour regions overlap, or one lies within another, it counts
the cells of the overlap in both. So do the scores of regions; otherwise a region's score would change when a second one
is drawn over it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.existing_cells import ring_centroids
from qupath_her2.records import CellTable, Region
from qupath_her2.regions import overlapping_tumour

__all__ = ["region_members"]


def region_members(table: CellTable, regions: Sequence[Region]) -> list[NDArray[np.bool_]] | None:
    """Return which cells count in the score of each region.

    Parameters
    ----------
    table
        N cells; `table.region` points into `regions`.
    regions
        The scored regions.

    Returns
    -------
    list[NDArray[np.bool_]] | None
        For each region bool (N); None where no regions overlap, and `table.region` says it all.
    """
    if not overlapping_tumour(regions):
        return None
    xy = ring_centroids(table.cell_xy.astype(np.float64), table.cell_offsets)
    found = []
    for number, region in enumerate(regions):
        shapely.prepare(region.geometry)
        inside = np.asarray(shapely.contains_xy(region.geometry, xy[:, 0], xy[:, 1]))
        # Its own cells by the region they were measured in: on an outline, rounding must not lose one.
        found.append(inside | (table.region == number))
    return found
