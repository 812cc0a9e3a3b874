"""Rivals of an outline: the other possible outlines around it, as features of its rating.

Seen alone, an outline of two nuclei or of half a nucleus can look as good as a whole one. What the other searches found
in the same place tells them apart: outlines that several seeds agree on are nuclei, and one that holds two others with
clearer edges joins two nuclei.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.bins import sort_into_bins

__all__ = ["RIVAL_FEATURES", "rival_features"]

#: Columns of `rival_features`.
RIVAL_FEATURES = ("same", "inside", "others_inside", "inner_edge", "outer_edge", "clear_near", "parts_inside")

#: Farther outlines say nothing about this one: tumour nuclei are 6 to 15 µm wide.
_REACH_UM = 8.0
#: Two outlines are the same find where their centres are closer than this and their log areas differ by less.
_SAME_UM, _SAME_LOG_AREA = 1.0, 0.25
#: A centre within this share of the equivalent radius lies inside an outline, not at its edge.
_INSIDE_SHARE = 0.8
#: An outline inside another is a part of it where its log area is smaller by more than this.
_PART_LOG_AREA = 0.4
#: Neighbours count where their edge is above this share of the own edge and their centre beyond this distance.
_CLEAR_SHARE, _NEIGHBOUR_UM = 0.6, 3.0


@nb.njit(cache=True, nogil=True)
def _count(
    centres: NDArray[np.float64],
    log_area: NDArray[np.float32],
    edge: NDArray[np.float32],
    order: NDArray[np.int64],
    first: NDArray[np.int64],
    columns: int,
    um_px: float,
) -> NDArray[np.float32]:
    """Return the columns of `rival_features`; bins as of `sort_into_bins`, of side `_REACH_UM`."""
    n = len(centres)
    counts = np.zeros((n, 7), np.float32)
    side_px = _REACH_UM / um_px
    for i in range(n):
        # 0.8 of the radius of the circle of equal area, squared.
        hold_i = _INSIDE_SHARE**2 * math.exp(log_area[i]) / math.pi
        own_edge = max(edge[i], 1e-3)
        column, row = int(centres[i, 0] / side_px), int(centres[i, 1] / side_px)
        for bin_row in range(row - 1, row + 2):
            for bin_column in range(column - 1, column + 2):
                cell = bin_row * columns + bin_column
                if bin_row < 0 or bin_column < 0 or cell + 1 >= len(first):
                    continue
                for q in range(first[cell], first[cell + 1]):
                    j = order[q]
                    dx = (centres[j, 0] - centres[i, 0]) * um_px
                    dy = (centres[j, 1] - centres[i, 1]) * um_px
                    square = dx * dx + dy * dy
                    if j == i or square > _REACH_UM**2:
                        continue
                    larger = log_area[i] - log_area[j]
                    is_same = square < _SAME_UM**2 and abs(larger) < _SAME_LOG_AREA
                    share = edge[j] / own_edge
                    if is_same:
                        counts[i, 0] += 1
                    if square < hold_i:
                        counts[i, 1] += 1
                        if not is_same:
                            counts[i, 2] += 1
                            counts[i, 3] = max(counts[i, 3], share)
                        if larger > _PART_LOG_AREA:
                            counts[i, 6] += 1
                    if square < _INSIDE_SHARE**2 * math.exp(log_area[j]) / math.pi:
                        counts[i, 4] = max(counts[i, 4], share)
                    if square > _NEIGHBOUR_UM**2 and share > _CLEAR_SHARE:
                        counts[i, 5] += 1
    return counts


def rival_features(
    centres: NDArray[np.float64], area_um2: NDArray[np.float32], edge: NDArray[np.float32], um_px: float
) -> NDArray[np.float32]:
    """Describe the other outlines within 8 µm of each.

    Parameters
    ----------
    centres
        float64 (N, 2), x, y, pixels, >= 0.
    area_um2
        float32 (N), > 0.
    edge
        float32 (N), mean fall of evidence across each contour, OD.
    um_px
        Pixel size, µm.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, 7), columns `RIVAL_FEATURES`: how many others are the same find; how many have their centre inside,
        how many of these are another find, and the strongest edge of those relative to the own; the strongest edge,
        relative to the own, of the outlines that hold this centre; how many clear ones lie beyond 3 µm; how many of
        those inside are much smaller.
    """
    if len(centres) == 0:
        return np.zeros((0, len(RIVAL_FEATURES)), np.float32)
    order, first, columns = sort_into_bins(centres, _REACH_UM / um_px)
    found: NDArray[np.float32] = _count(centres, np.log(area_um2), edge, order, first, columns, um_px)
    return found
