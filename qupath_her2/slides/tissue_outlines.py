"""Outlines of a tissue mask as polygons in level-0 pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from shapely import Polygon, box, make_valid
from shapely.affinity import scale

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from qupath_her2.slides.tissue import Tissue

__all__ = ["polygon_parts", "tissue_polygons"]


def tissue_polygons(tissue: Tissue, *, min_area_px: float = 0.0) -> list[Polygon]:
    """Return the outlines of tissue, with holes, largest first.

    Parameters
    ----------
    tissue
        Result of `find_tissue`.
    min_area_px
        Smaller pieces are left out, level-0 px².

    Returns
    -------
    list[Polygon]
        Valid polygons in level-0 px, clipped to the image.
    """
    # OpenCV's contours run through pixel centres. Doubling the mask and growing by half a (doubled) pixel puts them on
    # pixel edges; without the doubling, a strand one pixel wide would have no area.
    mask = tissue.mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    image = box(0, 0, tissue.width, tissue.height)
    pieces: list[Polygon] = []
    for index, contour in enumerate(contours):
        # hierarchy holds next, previous, first child and parent; contours with a parent are holes.
        if hierarchy[0][index][3] >= 0 or len(contour) < 3:
            continue
        holes, child = [], hierarchy[0][index][2]
        while child >= 0:
            if len(contours[child]) >= 3:
                holes.append(contours[child][:, 0] + 0.5)
            child = hierarchy[0][child][0]
        outline = make_valid(Polygon(contour[:, 0] + 0.5, holes)).buffer(0.5, join_style="mitre")
        factor = tissue.downsample / 2
        outline = scale(outline.simplify(0.5), factor, factor, origin=(0, 0))
        pieces.extend(polygon_parts(make_valid(outline).intersection(image)))
    # Slivers that clipping leaves along the image's edge have an area of zero within rounding.
    least = max(min_area_px, math.ulp(1.0))
    return sorted((p for p in pieces if p.area >= least), key=lambda p: -p.area)


def polygon_parts(geometry: BaseGeometry) -> list[Polygon]:
    """Return the polygons of a geometry, without the lines and points that clipping may leave."""
    parts = getattr(geometry, "geoms", [geometry])
    return [part for part in parts if isinstance(part, Polygon) and not part.is_empty]
