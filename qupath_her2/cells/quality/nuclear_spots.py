"""Nuclear stain: DAB in solid spots of the size and shape of nuclei.

Membranes and cytoplasms surround pale nuclei, so their DAB forms nets and rings; a stained nucleus is a filled, convex,
round spot. Nuclei that are stained darkly are not blue and are not detected as nuclei at all, so they are sought in the
DAB itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.samples import Sample
from qupath_her2.cells.stain_planes import blur

__all__ = ["NuclearSpots", "nuclear_spots"]

#: A pixel is stained from this DAB, OD; paler spots are noise of the counterstain.
_STAINED_OD = 0.15
_BLUR_UM = 0.4
#: Areas of nuclei, µm²: lymphocytes have 20, large tumour nuclei 150; half a lymphocyte is still a section of one.
_AREA_UM2 = (12.0, 150.0)
#: Area by that of the convex hull, filled fraction, 4 pi area by squared perimeter; and DAB inside by that of the rim.
_MIN_SOLIDITY, _MIN_FILLED, _MIN_ROUNDNESS, _MIN_CORE = 0.88, 0.97, 0.6, 1.15


@dataclass(frozen=True, slots=True)
class NuclearSpots:
    """DAB in solid spots of nuclear size.

    Attributes
    ----------
    count
        Spots in the samples.
    share
        Fraction of the stained area that lies in them, 0..1; NaN without stain.
    """

    count: int
    share: float


def nuclear_spots(samples: Sequence[Sample]) -> NuclearSpots:
    """Count the solid spots of DAB of nuclear size in the samples of an image.

    Parameters
    ----------
    samples
        Sample windows spread over the scored regions.

    Returns
    -------
    NuclearSpots
        Their number, and their share of the stained area.
    """
    count, in_spots, stained_area = 0, 0.0, 0.0
    for sample in samples:
        planes = sample.tile.planes
        # With the DAB of grey objects: nuclei stained brown over blue come close to grey.
        dab = blur(np.maximum(planes.all_dab, 0), _BLUR_UM / planes.um_px)
        stained = (dab > _STAINED_OD) & sample.inside
        areas = _spot_areas(dab, stained.astype(np.uint8), planes.um_px)
        count += len(areas)
        in_spots += sum(areas)
        stained_area += float(stained.sum()) * planes.um_px**2
    return NuclearSpots(count, in_spots / stained_area if stained_area else float("nan"))


def _spot_areas(dab: NDArray[np.float32], stained: NDArray[np.uint8], um_px: float) -> list[float]:
    """Return the areas of the solid spots that lie whole in a window, µm²."""
    height, width = stained.shape
    contours, _ = cv2.findContours(stained, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        # In whole pixels, by Pick's theorem: OpenCV's contour runs through the centres of the outermost ones.
        area = cv2.contourArea(contour) + len(contour) / 2 + 1
        if x == 0 or y == 0 or x + w >= width or y + h >= height:
            continue
        if not _AREA_UM2[0] <= area * um_px**2 <= _AREA_UM2[1]:
            continue
        if _is_solid(
            np.asarray(contour, np.int32), dab[y : y + h, x : x + w], stained[y : y + h, x : x + w], (x, y)
        ):
            areas.append(area * um_px**2)
    return areas


def _is_solid(
    contour: NDArray[np.int32], dab: NDArray[np.float32], stained: NDArray[np.uint8], corner: tuple[int, int]
) -> bool:
    """Return whether a spot is convex, round, filled, and darker inside than along its rim."""
    area, around = cv2.contourArea(contour), cv2.arcLength(contour, True)
    if area < _MIN_SOLIDITY * cv2.contourArea(cv2.convexHull(contour)):
        return False
    if 4 * np.pi * area < _MIN_ROUNDNESS * around**2:
        return False
    spot = np.zeros(stained.shape, np.uint8)
    cv2.drawContours(spot, [contour - np.array(corner, np.int32)], -1, 1, cv2.FILLED)
    # Beyond the window there is no spot, so that the rim is as wide along its edge.
    core = cv2.erode(spot, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    rim = (spot > 0) & ~core
    if not core.any() or stained[spot > 0].mean() < _MIN_FILLED:
        return False
    return bool(dab[core].mean() > _MIN_CORE * dab[rim].mean())
