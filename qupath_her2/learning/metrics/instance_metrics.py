"""Instance metrics: matching of detected to true cells or nuclei, F1 and panoptic quality.

Own code: panopticapi reads COCO's image files and torchmetrics takes pixel maps only; cells are also compared as
polygons, which may overlap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError

__all__ = ["InstanceCounts", "match_labels", "match_polygons"]

#: Areas are sums of floats: rounding must not turn an overlap of exactly one half into less.
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class InstanceCounts:
    """Numbers of matched and unmatched instances; those of several images add up with ``+``.

    `tp` matched pairs, `fp` detections without partner, `fn` true instances without partner; `iou_sum` the sum of the
    pairs' IoU.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou_sum: float = 0.0

    def __add__(self, other: InstanceCounts) -> InstanceCounts:
        return InstanceCounts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.iou_sum + other.iou_sum
        )

    @property
    def precision(self) -> float:
        """TP / (TP + FP), 0..1; NaN if nothing was detected."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else math.nan

    @property
    def recall(self) -> float:
        """TP / (TP + FN), 0..1; NaN if there are no true instances."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else math.nan

    @property
    def f1(self) -> float:
        """TP / (TP + FP / 2 + FN / 2), 0..1, the recognition quality of Kirillov et al.; NaN if empty."""
        around = self.tp + (self.fp + self.fn) / 2
        return self.tp / around if around else math.nan

    @property
    def segmentation_quality(self) -> float:
        """Mean IoU of the pairs, 0..1 (Kirillov et al.); NaN without pairs."""
        return self.iou_sum / self.tp if self.tp else math.nan

    @property
    def pq(self) -> float:
        """Panoptic quality, 0..1: sum of IoU / (TP + FP / 2 + FN / 2); NaN if empty.

        Kirillov et al., CVPR 2019, arXiv:1801.00868, eq. 1.
        """
        around = self.tp + (self.fp + self.fn) / 2
        return self.iou_sum / around if around else math.nan


def match_labels(
    truth: NDArray[np.integer],
    found: NDArray[np.integer],
    *,
    least_iou: float = 0.5,
    ignore: NDArray[np.bool_] | None = None,
) -> InstanceCounts:
    """Match the instances of two label images by their IoU.

    Kirillov et al. (arXiv:1801.00868) require an IoU above 0.5, which makes pairs unique; here exactly 0.5 is enough,
    as is usual for F1, and one of several such partners counts. As there, pixels of `ignore` are removed from both
    images; a detection without partner that has more than `least_iou` of its pixels among them is not a false positive.

    Parameters
    ----------
    truth, found
        int (H, W), true and detected instances; 0 = background, any other value one instance.
    least_iou
        Smallest IoU of a pair, 0.5..1.
    ignore
        bool (H, W), unlabelled pixels.

    Returns
    -------
    InstanceCounts
        Matched and unmatched instances.

    Raises
    ------
    TrainingError
        The shapes differ, or `least_iou` is outside 0.5..1.
    """
    _check_least(least_iou)
    if truth.shape != found.shape or (ignore is not None and ignore.shape != truth.shape):
        raise TrainingError(
            f"True labels have shape {truth.shape}, but detected ones {found.shape}; they must be equal."
        )
    is_known = np.ones(truth.shape, bool) if ignore is None else ~ignore
    found_ids, found_all = np.unique(found[found != 0], return_counts=True)
    # Labels are replaced by indices into the list of instances, 0 = background: one bincount then gives all overlaps.
    t_ids, t = np.unique(np.append(0, truth[is_known]), return_inverse=True)
    f_ids, f = np.unique(np.append(0, found[is_known]), return_inverse=True)
    table = np.bincount(t[1:] * len(f_ids) + f[1:], minlength=len(t_ids) * len(f_ids))
    table = table.reshape(len(t_ids), len(f_ids))
    row, column = np.nonzero(table[1:, 1:])
    shared = table[1:, 1:][row, column]
    t_area, f_area = table.sum(1)[1:], table.sum(0)[1:]
    iou = shared / (t_area[row] + f_area[column] - shared)
    pairs, iou_sum = _pair(row, column, iou, least_iou)
    seen = dict(zip(f_ids[1:].tolist(), f_area.tolist(), strict=True))
    # Detections in unlabelled areas are judged by all their pixels, also those outside the labelled area.
    matched = {int(f_ids[1:][column[pair]]) for pair in pairs}
    excused = [
        number
        for number, area in zip(found_ids.tolist(), found_all.tolist(), strict=True)
        if number not in matched and area - seen.get(number, 0) > least_iou * area
    ]
    n = len(pairs)
    return InstanceCounts(n, len(found_ids) - n - len(excused), len(t_area) - n, iou_sum)


def match_polygons(
    truth: Sequence[shapely.Geometry], found: Sequence[shapely.Geometry], *, least_iou: float = 0.5
) -> InstanceCounts:
    """Match the polygons of two lists by their IoU; see `match_labels`.

    Polygons of one list may overlap each other: the best pairs are matched first, each polygon once. Self-intersecting
    outlines are repaired.

    Parameters
    ----------
    truth, found
        True and detected polygons in the same coordinates.
    least_iou
        Smallest IoU of a pair, 0.5..1.

    Returns
    -------
    InstanceCounts
        Matched and unmatched instances.

    Raises
    ------
    TrainingError
        `least_iou` is outside 0.5..1.
    """
    _check_least(least_iou)
    true = shapely.make_valid(np.array(truth, object).reshape(-1))
    other = shapely.make_valid(np.array(found, object).reshape(-1))
    # Only pairs whose bounding boxes meet are intersected: their number grows with the cells, not with their square.
    row, column = shapely.STRtree(other).query(true, "intersects")
    shared = shapely.area(shapely.intersection(true[row], other[column]))
    around = shapely.area(true)[row] + shapely.area(other)[column] - shared
    # Degenerate outlines have no area.
    iou = np.divide(shared, around, out=np.zeros(len(row)), where=around > 0)
    pairs, iou_sum = _pair(row, column, iou, least_iou)
    n = len(pairs)
    return InstanceCounts(n, len(other) - n, len(true) - n, iou_sum)


def _check_least(least_iou: float) -> None:
    if not 0.5 <= least_iou <= 1:
        raise TrainingError(
            f"least_iou is {least_iou:g}; below 0.5 an instance can have several partners. Pass 0.5 to 1."
        )


def _pair(
    row: NDArray[np.int64], column: NDArray[np.int64], iou: NDArray[np.float64], least: float
) -> tuple[list[int], float]:
    """Return the indices of the candidates that become pairs, best first, and the sum of their IoU.

    Greedy matching suffices: above an IoU of 0.5 no instance has two candidates, except for overlapping polygons.
    """
    rows: set[int] = set()
    columns: set[int] = set()
    pairs: list[int] = []
    enough = np.flatnonzero(iou >= least - _EPSILON)
    # Ties are broken by index, so that the result does not depend on the order of the candidates.
    for pair in enough[np.lexsort((column[enough], row[enough], -iou[enough]))].tolist():
        if row[pair] not in rows and column[pair] not in columns:
            rows.add(int(row[pair]))
            columns.add(int(column[pair]))
            pairs.append(pair)
    return pairs, float(iou[pairs].sum())
