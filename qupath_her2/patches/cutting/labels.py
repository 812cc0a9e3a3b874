"""Labels of patches from regions, by shares of area; holes, nested and subtracting regions are taken into account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.records import Region
from qupath_her2.regions import SUBTRACTING, exclusive_areas, nesting_order
from qupath_her2.setting_ranges import Range, check_settings

__all__ = [
    "BoxLabels",
    "LabelRule",
    "LabelledRegions",
    "RuleName",
    "label_boxes",
    "label_regions",
    "overlap_shares",
]

RuleName = Literal["overlap", "majority", "contained"]

#: Tolerance for comparing shares with limits: areas are sums of floats.
_EPSILON = 1e-9
#: Shapes with more vertices are first cut into a grid of pieces, so that intersecting a patch costs a few hundred
#: vertices and not all. An outline from a pixel classifier easily has 100,000.
_MANY_VERTICES = 512
_PIECES_ACROSS = 16

_Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LabelRule:
    """Rule by which a patch is assigned to the class that covers most of it.

    Attributes
    ----------
    rule
        ``overlap``: at least `min_overlap` of the patch is in regions of the class (Chauhan et al. 2025: 5 %);
        ``majority``: more than half of it; ``contained``: all of it.
    min_overlap
        Share of the patch; only used by ``overlap``.
    """

    rule: RuleName = "majority"
    min_overlap: Annotated[float, Range(0, 1, "(a share)", is_open="low")] = 0.05

    def __post_init__(self) -> None:
        check_settings(self)

    def holds(self, share: NDArray[np.floating]) -> _Bools:
        """Return for each share, 0..1, whether it is large enough."""
        if self.rule == "majority":
            return np.asarray(share > 0.5 + _EPSILON)
        least = self.min_overlap if self.rule == "overlap" else 1.0
        return np.asarray(share >= least - _EPSILON)


@dataclass(frozen=True, slots=True)
class LabelledRegions:
    """The area that belongs to each labelled region of an image, by the rule of nesting in `qupath_her2.regions`.

    Attributes
    ----------
    shapes
        R geometries, level-0 pixels, none overlapping another.
    label
        int16 (R,), class index of each, -1 = class unknown.
    uuid
        uint8 (R, 16), the annotation that each area comes from.
    """

    shapes: tuple[shapely.Geometry, ...]
    label: NDArray[np.int16]
    uuid: NDArray[np.uint8]

    def bounds(self) -> tuple[float, float, float, float] | None:
        """Return min x, min y, max x, max y, level-0 px; None without any area."""
        corners = shapely.bounds(list(self.shapes)) if self.shapes else np.zeros((0, 4))
        corners = corners[~np.isnan(corners).any(axis=1)]
        if len(corners) == 0:
            return None
        (x0, y0), (x1, y1) = corners[:, :2].min(0), corners[:, 2:].max(0)
        return float(x0), float(y0), float(x1), float(y1)


@dataclass(frozen=True, slots=True)
class BoxLabels:
    """Labels of N boxes, from `label_boxes`.

    Attributes
    ----------
    label
        int16 (N,), class index, -1 where the class is unknown or there is no region.
    overlap
        float32 (N,), share of the box in regions of that class, 0..1.
    uuid
        uint8 (N, 16), of these regions the one that covers most of the box.
    passes_rule
        bool (N,), the label rule holds.
    meets_region
        bool (N,), the box intersects a labelled region.
    """

    label: NDArray[np.int16]
    overlap: NDArray[np.float32]
    uuid: NDArray[np.uint8]
    passes_rule: _Bools
    meets_region: _Bools


def label_regions(regions: Sequence[Region], labels: Sequence[int | None]) -> LabelledRegions:
    """Assign every point to the innermost region that contains it, as scoring by cells does.

    Parameters
    ----------
    regions
        Regions of one image, level-0 px.
    labels
        Class index of each region; -1 for a region of unknown class; None for a region that is only subtracted from
        those around it (stroma inside tumour).

    Returns
    -------
    LabelledRegions
        The regions with a label that are not subtracting and have some area left.
    """
    areas = exclusive_areas(regions)
    # From the innermost outwards: of regions with equal overlap the inner one is reported.
    kept = [
        i
        for i in nesting_order(regions)
        if labels[i] is not None and regions[i].role not in SUBTRACTING and areas[i].area > 0
    ]
    uuid = np.frombuffer(b"".join(regions[i].uuid.bytes for i in kept), np.uint8).reshape(-1, 16)
    return LabelledRegions(tuple(areas[i] for i in kept), np.array([labels[i] for i in kept], np.int16), uuid)


def overlap_shares(
    boxes: NDArray[np.int32], shapes: Sequence[shapely.Geometry]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the share of each box inside each shape, for all pairs that overlap.

    Parameters
    ----------
    boxes
        int32 (N, 4), left, top, width, height.
    shapes
        Polygons or multipolygons, in the same coordinates.

    Returns
    -------
    box, shape
        int64 (P,), indices of the pairs that overlap, sorted by box, then shape.
    share
        float64 (P,), share of the box's area, above 0 to 1.
    """
    x, y, w, h = boxes.astype(np.float64).T
    rectangles = shapely.box(x, y, x + w, y + h)
    pieces, owner = _pieces(shapes)
    shapely.prepare(pieces)
    found = shapely.STRtree(rectangles).query(pieces, "intersects") if pieces else np.zeros((2, 0), np.int64)
    piece, box = found
    area = np.empty(len(box))
    held = np.array(pieces, object)[piece] if len(piece) else np.zeros(0, object)
    # Most boxes lie well inside a region. A prepared geometry answers that far faster than it computes an
    # intersection, which is left for the boxes on an outline.
    is_inside = shapely.contains_properly(held, rectangles[box])
    area[is_inside] = (w * h)[box[is_inside]]
    edge = ~is_inside
    area[edge] = shapely.area(shapely.intersection(held[edge], rectangles[box[edge]]))
    # Areas of the pieces of one shape add up: pieces do not overlap.
    pairs, inverse = np.unique(np.stack([box, owner[piece]], axis=1), axis=0, return_inverse=True)
    share = np.bincount(inverse.reshape(-1), area, minlength=len(pairs)) / (w * h)[pairs[:, 0]]
    # "intersects" also finds pairs that only touch.
    is_real = share > 0
    return pairs[is_real, 0], pairs[is_real, 1], np.minimum(share[is_real], 1.0)


def _pieces(shapes: Sequence[shapely.Geometry]) -> tuple[list[shapely.Geometry], NDArray[np.int64]]:
    """Cut shapes with many vertices along a grid; return all pieces, and the index of the shape of each."""
    pieces: list[shapely.Geometry] = []
    owner: list[int] = []
    for index, shape in enumerate(shapes):
        parts = [shape]
        if shapely.get_num_coordinates(shape) > _MANY_VERTICES:
            x0, y0, x1, y1 = shape.bounds
            x, y = np.linspace(x0, x1, _PIECES_ACROSS + 1), np.linspace(y0, y1, _PIECES_ACROSS + 1)
            left, top = (grid.ravel() for grid in np.meshgrid(x[:-1], y[:-1]))
            right, bottom = (grid.ravel() for grid in np.meshgrid(x[1:], y[1:]))
            cut = shapely.get_parts(shapely.intersection(shape, shapely.box(left, top, right, bottom)))
            # Grid lines that graze the outline leave points and lines, which have no area.
            parts = [part for part in cut if part.geom_type == "Polygon"]
        pieces.extend(parts)
        owner.extend([index] * len(parts))
    return pieces, np.array(owner, np.int64)


def label_boxes(boxes: NDArray[np.int32], labelled: LabelledRegions, rule: LabelRule) -> BoxLabels:
    """Label each box with the class that covers most of it.

    Shares of several regions of a class add up; of classes with equal shares the one of lower index wins.

    Parameters
    ----------
    boxes
        int32 (N, 4), left, top, width, height, level-0 px.
    labelled
        The image's labelled regions, level-0 px.
    rule
        Share of a box that its class must cover.

    Returns
    -------
    BoxLabels
        Label, overlap, region, and whether the rule holds, for each of the N boxes.
    """
    n = len(boxes)
    result = BoxLabels(
        np.full(n, -1, np.int16),
        np.zeros(n, np.float32),
        np.zeros((n, 16), np.uint8),
        np.zeros(n, bool),
        np.zeros(n, bool),
    )
    box, shape, share = overlap_shares(boxes, labelled.shapes)
    if len(box) == 0:
        return result
    label = labelled.label[shape].astype(np.int64)
    # Regions of unknown class sort after all classes, so that of equal shares a known class wins.
    rank = np.where(label < 0, np.iinfo(np.int16).max, label)
    pairs, inverse = np.unique(np.stack([box, rank], axis=1), axis=0, return_inverse=True)
    total = np.minimum(np.bincount(inverse.reshape(-1), share, minlength=len(pairs)), 1.0)
    first = _first_maximum(pairs[:, 0], total)
    winner, won, best = pairs[first, 0], pairs[first, 1], total[first]
    result.meets_region[winner] = True
    result.passes_rule[winner] = rule.holds(best)
    result.overlap[winner] = best
    result.label[winner] = np.where(won == np.iinfo(np.int16).max, -1, won)
    # -2 matches no rank: boxes without a winner get no region.
    chosen = np.full(n, -2, np.int64)
    chosen[winner] = won
    of_winner = np.flatnonzero(rank == chosen[box])
    largest = of_winner[_first_maximum(box[of_winner], share[of_winner])]
    result.uuid[box[largest]] = labelled.uuid[shape[largest]]
    return result


def _first_maximum(group: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each distinct number in `group` the index of its largest value, the first of a tie."""
    # Rounded, so that shares that differ only by the order of summation count as equal.
    order = np.lexsort((np.arange(len(group)), -np.round(value, 9), group))
    is_first = np.ones(len(order), bool)
    is_first[1:] = group[order[1:]] != group[order[:-1]]
    return order[is_first]
