"""Which region a cell belongs to: the innermost wins; ignore, in-situ and control regions subtract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.records import Box, Region

__all__ = ["OUTSIDE", "RegionMap", "map_regions"]

#: Region index of a point that is not scored.
OUTSIDE = -1

_SUBTRACTING = ("ignore", "in_situ", "control")


@dataclass(frozen=True, slots=True)
class RegionMap:
    """The scored regions of an image and what lies inside or takes away from them.

    `scored` : the tumour regions, in the order people drew them; `geometries` : every region that decides, smallest
    first; `index` : for each of them its place in `scored`, or -1; `subtract` : bool, takes away whatever its size.
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
        """Tell whether any scored region meets a box.

        Parameters
        ----------
        box
            Level-0 pixels.
        """
        frame = shapely.box(box.x, box.y, box.x + box.width, box.y + box.height)
        return bool(shapely.intersects([region.geometry for region in self.scored], frame).any())

    def bounds_within(self, box: Box) -> tuple[float, float, float, float] | None:
        """Return min x, min y, max x, max y of what of the scored regions lies in a box; None for nothing.

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
        """Tell which points lie in a scored region or near one.

        Parameters
        ----------
        xy
            float64 (N, 2), level-0 pixels.
        distance_px
            Level-0 pixels; at corners up to 2 % less, where a circle is drawn with 16 sides.

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
            part = shapely.clip_by_rect(region.geometry, *frame.bounds)
            if part.is_empty:
                continue
            ground = part.buffer(distance_px, quad_segs=4)
            shapely.prepare(ground)
            hit |= shapely.contains_xy(ground, xy[:, 0], xy[:, 1])
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
            inside = shapely.contains_xy(geometry, xy[:, 0], xy[:, 1])
            if subtract:
                found[inside] = OUTSIDE
                undecided &= ~inside
            else:
                found[inside & undecided] = index
                undecided &= ~inside
        return found


def map_regions(regions: Sequence[Region]) -> RegionMap:
    """Order the regions of an image by what they decide.

    Parameters
    ----------
    regions
        Of all roles; ``other`` decides nothing.
    """
    scored = tuple(region for region in regions if region.role == "tumour")
    place = {id(region): i for i, region in enumerate(scored)}
    deciding = sorted(
        (region for region in regions if region.role != "other"),
        # Equal areas: the order of the UUIDs, so that the same regions always decide the same way.
        key=lambda region: (region.role not in _SUBTRACTING, region.geometry.area, region.uuid.int),
    )
    for region in deciding:
        shapely.prepare(region.geometry)
    return RegionMap(
        scored,
        tuple(region.geometry for region in deciding),
        np.array([place.get(id(region), OUTSIDE) for region in deciding], np.int32),
        np.array([region.role in _SUBTRACTING for region in deciding], bool),
    )
