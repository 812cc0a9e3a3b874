"""The one rule of nested regions: the innermost region wins; ignore, in-situ and control regions subtract.

1. A point in an ignore, in-situ or control region belongs to no region, whatever else holds it.
2. Of the other regions that hold a point, the smallest by area owns it: tumour inside stroma inside tumour is tumour
   again. Equal areas go to the smaller UUID, so that the order of drawing decides nothing.
3. A region of the role ``other`` decides nothing.

Cells apply it by point (`map_regions`), patches by area (`exclusive_areas`), indicators by pixel (`tumour_mask`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.records import Box, Region

__all__ = [
    "OUTSIDE",
    "SUBTRACTING",
    "RegionMap",
    "exclusive_areas",
    "map_regions",
    "nesting_order",
    "overlapping_tumour",
    "shown_name",
    "tumour_mask",
]

#: Region index of a point that lies in no scored region.
OUTSIDE = -1

#: Roles whose regions are subtracted from every other region, whatever their size.
SUBTRACTING = ("ignore", "in_situ", "control")


def nesting_order(regions: Sequence[Region]) -> list[int]:
    """Return the indices of `regions` in order of precedence: the first wins over all others."""
    return sorted(
        range(len(regions)),
        key=lambda i: (regions[i].role not in SUBTRACTING, regions[i].geometry.area, regions[i].uuid.int),
    )


def shown_name(name: str | None, class_name: str | None, number: int) -> str:
    """Return what a region is called in reports, such as ``Tumor 1``.

    Parameters
    ----------
    name
        Its own name, which wins.
    class_name
        Its class, None for a region without one.
    number
        Its place among the regions of the record, from 1.

    Returns
    -------
    str
        Never empty.
    """
    return name or f"{class_name or 'Region'} {number}"


def overlapping_tumour(regions: Sequence[Region]) -> list[tuple[Region, Region]]:
    """Return the pairs of tumour regions that share more than 1 px², each with the one that owns the overlap first."""
    tumour = [regions[i] for i in nesting_order(regions) if regions[i].role == "tumour"]
    if len(tumour) < 2:
        return []
    tree = shapely.STRtree([region.geometry for region in tumour])
    pairs = tree.query([region.geometry for region in tumour], predicate="intersects").T
    return [
        (tumour[first], tumour[second])
        for first, second in pairs
        if first < second and tumour[first].geometry.intersection(tumour[second].geometry).area > 1
    ]


def exclusive_areas(regions: Sequence[Region]) -> list[shapely.Geometry]:
    """Return each region without the parts covered by regions that take precedence over it.

    Parameters
    ----------
    regions
        Regions of one image, in any order; leave out those of the role ``other``.

    Returns
    -------
    list[shapely.Geometry]
        One geometry a region, level-0 pixels, possibly empty; no two of them overlap. A subtracting region gets its
        area too: the caller leaves it unlabelled.
    """
    order = nesting_order(regions)
    ordered = [regions[i].geometry for i in order]
    # Thousands of annotations would otherwise be compared each with every other.
    tree = shapely.STRtree(ordered)
    areas: list[shapely.Geometry] = [shapely.Polygon()] * len(regions)
    for rank, i in enumerate(order):
        shape = ordered[rank]
        winners = [ordered[k] for k in sorted(tree.query(shape, "intersects").tolist()) if k < rank]
        areas[i] = shapely.difference(shape, shapely.union_all(winners)) if winners else shape
    return areas


def tumour_mask(
    regions: Sequence[Region],
    shape: tuple[int, ...],
    to_pixels: Callable[[NDArray[np.float64]], NDArray[np.int32]],
) -> NDArray[np.bool_]:
    """Return the pixels that belong to tumour regions.

    Parameters
    ----------
    regions
        Regions of one image, all roles.
    shape
        Height and width of the mask, pixels; further entries are ignored.
    to_pixels
        Maps a ring, float64 (K, 2) in level-0 pixels, to int32 (K, 2) in sixteenths of a mask pixel (OpenCV's
        fixed-point coordinates with a shift of 4).

    Returns
    -------
    NDArray[np.bool_]
        bool (H, W).
    """
    mask = np.zeros(shape[:2], bool)
    # Painted from the loser to the winner, each region simply covers what lies beneath it.
    for i in reversed(nesting_order(regions)):
        if regions[i].role == "other":
            continue
        for polygon in shapely.get_parts(regions[i].geometry):
            # A layer for each polygon: fillPoly's even-odd rule would let a hole in one cut another.
            layer = np.zeros(shape[:2], np.uint8)
            rings = [
                to_pixels(np.asarray(ring.coords)[:, :2]) for ring in (polygon.exterior, *polygon.interiors)
            ]
            cv2.fillPoly(layer, rings, 1, cv2.LINE_8, 4)
            mask[layer > 0] = regions[i].role == "tumour"
    return mask


@dataclass(frozen=True, slots=True)
class RegionMap:
    """Scored regions of an image, with all regions that decide which of them a point belongs to.

    Attributes
    ----------
    scored
        Tumour regions, in the order of the file.
    geometries
        Geometries of all deciding regions, in order of precedence.
    index
        int32 (K,), place of each of them in `scored`, or -1.
    subtract
        bool (K,), whether it is subtracted from all others.
    """

    scored: tuple[Region, ...]
    geometries: tuple[shapely.Geometry, ...]
    index: NDArray[np.int32]
    subtract: NDArray[np.bool_]

    def bounds(self) -> tuple[float, float, float, float]:
        """Return min x, min y, max x, max y of the scored regions, level-0 pixels."""
        corners = shapely.bounds([region.geometry for region in self.scored])
        low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def touches(self, box: Box) -> bool:
        """Return whether any scored region intersects a box.

        Parameters
        ----------
        box
            Level-0 pixels.
        """
        frame = shapely.box(box.x, box.y, box.x + box.width, box.y + box.height)
        return bool(shapely.intersects([region.geometry for region in self.scored], frame).any())

    def bounds_within(self, box: Box) -> tuple[float, float, float, float] | None:
        """Return min x, min y, max x, max y of the scored regions within a box; None where there are none.

        Parameters
        ----------
        box
            Level-0 pixels.
        """
        frame = (box.x, box.y, box.x + box.width, box.y + box.height)
        parts = [shapely.clip_by_rect(region.geometry, *frame) for region in self.scored]
        corners = shapely.bounds([part for part in parts if not part.is_empty])
        if len(corners) == 0:
            return None
        low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def near(self, xy: NDArray[np.float64], distance_px: float) -> NDArray[np.bool_]:
        """Return which points lie in a scored region or within a distance of one.

        Parameters
        ----------
        xy
            float64 (N, 2), level-0 pixels.
        distance_px
            Level-0 pixels; up to 2 % less at corners, where the buffer's arcs are polygons of 16 sides.

        Returns
        -------
        NDArray[np.bool_]
            bool (N)
        """
        hit = np.zeros(len(xy), bool)
        if len(xy) == 0:
            return hit
        frame = shapely.box(*xy.min(0) - distance_px, *xy.max(0) + distance_px)
        for region in self.scored:
            # Only the part near these points: buffering a whole slide's outline for each tile would dominate.
            part = shapely.clip_by_rect(region.geometry, *frame.bounds)
            if part.is_empty:
                continue
            zone = part.buffer(distance_px, quad_segs=4)
            shapely.prepare(zone)
            hit |= shapely.contains_xy(zone, xy[:, 0], xy[:, 1])
        return hit

    def assign(self, xy: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the region to which each point belongs.

        Parameters
        ----------
        xy
            float64 (N, 2), level-0 pixels.

        Returns
        -------
        NDArray[np.int32]
            int32 (N), index into `scored`, or -1.
        """
        found = np.full(len(xy), OUTSIDE, np.int32)
        undecided = np.ones(len(xy), bool)
        for geometry, index, subtract in zip(self.geometries, self.index, self.subtract, strict=True):
            # In order of precedence: the first region that holds a point decides it, and subtracting ones come first.
            inside = shapely.contains_xy(geometry, xy[:, 0], xy[:, 1])
            if subtract:
                found[inside] = OUTSIDE
                undecided &= ~inside
            else:
                found[inside & undecided] = index
                undecided &= ~inside
        return found


def map_regions(regions: Sequence[Region]) -> RegionMap:
    """Order the regions of an image by the nesting rule.

    Parameters
    ----------
    regions
        Regions of all roles; those of the role ``other`` are left out.

    Returns
    -------
    RegionMap
        Its `scored` regions are the tumour regions in the order of `regions`.
    """
    scored = tuple(region for region in regions if region.role == "tumour")
    # By identity: two regions may be equal in every field.
    index_of = {id(region): i for i, region in enumerate(scored)}
    candidates = [region for region in regions if region.role != "other"]
    deciding = [candidates[i] for i in nesting_order(candidates)]
    # Prepared geometries make the point tests of a million cells many times faster.
    for region in deciding:
        shapely.prepare(region.geometry)
    return RegionMap(
        scored,
        tuple(region.geometry for region in deciding),
        np.array([index_of.get(id(region), OUTSIDE) for region in deciding], np.int32),
        np.array([region.role in SUBTRACTING for region in deciding], bool),
    )
