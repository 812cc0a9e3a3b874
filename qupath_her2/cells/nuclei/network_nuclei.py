"""Nuclei from a network's probability map: a distance-transform watershed that splits touching nuclei at their necks.

Own code instead of `skimage.segmentation.watershed`, which breaks ties in flooding order: `territory.grow_territories`
gives every pixel the same owner in every tile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, cast

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.territory import STRAIGHT_STEP, UNOWNED, grow_territories
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import Nuclei
from qupath_her2.cells.nuclei.star_contours import bilinear
from qupath_her2.cells.stain_planes import Plane, blur
from qupath_her2.setting_ranges import Range, Share, check_order, check_settings

__all__ = ["NucleusMapSettings", "nuclei_from_map"]

#: Costs are integers: resolution per pixel of distance.
_PER_PX = 16


@dataclass(frozen=True, slots=True)
class NucleusMapSettings:
    """Criteria for nuclei in a probability map.

    Attributes
    ----------
    blur_um
        Sigma of the blur that removes pixel noise from the map.
    min_probability
        Threshold of the nuclear mask.
    min_area_um2
        Smallest nucleus; smaller than for the classical detector, since a network tells tangentially cut nuclei from
        debris.
    min_peak
        Smallest maximum probability of a nucleus.
    smooth_um
        Sigma of the blur of the distance map, which removes spurious maxima.
    neck_share
        Two maxima are two nuclei where the mask between them narrows to less than this fraction of the smaller one's
        half width.
    max_radius_um
        Largest distance of a contour from its centre.
    """

    blur_um: Annotated[float, Range(0.05, 5, "µm")] = 0.25
    min_probability: Share = 0.45
    min_area_um2: Annotated[float, Range(0.5, 1000, "µm²")] = 4.0
    min_peak: Share = 0.6
    smooth_um: Annotated[float, Range(0.05, 5, "µm")] = 0.5
    neck_share: Share = 0.85
    max_radius_um: Annotated[float, Range(1, 50, "µm")] = 9.0

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "min_probability", "min_peak", is_strict=False)


@nb.njit(cache=True, nogil=True)
def _smallest_depth(depth: Plane, ax: int, ay: int, bx: int, by: int) -> float:
    """Return the smallest depth on the straight line between two pixels."""
    steps = max(abs(bx - ax), abs(by - ay), 1)
    least = np.inf
    for i in range(steps + 1):
        least = min(least, bilinear(depth, ax + (bx - ax) * i / steps, ay + (by - ay) * i / steps))
    return float(least)


@nb.njit(cache=True, nogil=True)
def _separated_maxima(
    depth: Plane, x: NDArray[np.int64], y: NDArray[np.int64], neck_share: float, reach: float
) -> NDArray[np.bool_]:
    """Keep of N maxima, sorted by falling depth, those that a neck separates from every deeper maximum kept."""
    height, width = depth.shape
    # Kept maxima are filed in square bins of side `reach` (linked lists), so that each is compared with its neighbours
    # only.
    # Rounding down is exact: whole pixels two bins apart differ by at least a bin and a pixel, more than `reach`.
    cell = max(int(reach), 1)
    across = width // cell + 1
    heads = np.full((height // cell + 1) * across, -1, np.int64)
    following = np.full(len(x), -1, np.int64)
    kept = np.zeros(len(x), np.bool_)
    for k in range(len(x)):
        row, column = y[k] // cell, x[k] // cell
        own = depth[y[k], x[k]]
        good = True
        for r in range(max(row - 1, 0), min(row + 2, height // cell + 1)):
            for c in range(max(column - 1, 0), min(column + 2, across)):
                other = heads[r * across + c]
                while other >= 0 and good:
                    dx, dy = x[other] - x[k], y[other] - y[k]
                    if dx * dx + dy * dy <= reach * reach:
                        good = _smallest_depth(depth, x[k], y[k], x[other], y[other]) < neck_share * own
                    other = following[other]
        if good:
            kept[k] = True
            following[k] = heads[row * across + column]
            heads[row * across + column] = k
    return kept


@nb.njit(cache=True, nogil=True)
def _measure_owned(
    owner: NDArray[np.int32], nuclear: Plane, n: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float32]]:
    """Return the centroid, the area in pixels and the highest probability of each of N nuclei."""
    sums = np.zeros((n, 3))
    area = np.zeros(n, np.int64)
    peak = np.zeros(n, np.float32)
    for y in range(owner.shape[0]):
        for x in range(owner.shape[1]):
            k = owner[y, x]
            if k >= 0:
                # Weighted by probability, so that the soft rim of a map moves the centroid less than its core.
                weight = nuclear[y, x]
                sums[k, 0] += weight * x
                sums[k, 1] += weight * y
                sums[k, 2] += weight
                area[k] += 1
                peak[k] = max(peak[k], weight)
    centre = np.zeros((n, 2))
    for k in range(n):
        if sums[k, 2] > 0:
            centre[k] = sums[k, :2] / sums[k, 2]
    return centre, area, peak


@nb.njit(cache=True, nogil=True)
def _radii(
    owner: NDArray[np.int32],
    nuclear: Plane,
    centres: NDArray[np.float64],
    numbers: NDArray[np.int64],
    edge: float,
    longest: float,
) -> NDArray[np.float32]:
    """Return the distance from each centre to where the map falls below `edge` or another nucleus begins, pixels."""
    height, width = owner.shape
    step = 0.25
    radii = np.empty((len(centres), N_ANGLES), np.float32)
    for k in range(len(centres)):
        for a in range(N_ANGLES):
            cosine, sine = math.cos(2 * math.pi * a / N_ANGLES), math.sin(2 * math.pi * a / N_ANGLES)
            r, last = 0.0, 0.0
            while r < longest:
                x, y = centres[k, 0] + r * cosine, centres[k, 1] + r * sine
                column, row = int(x + 0.5), int(y + 0.5)
                if x < -0.5 or y < -0.5 or column >= width or row >= height:
                    break
                # Unowned pixels count as long as the map is above the threshold, those of another nucleus never.
                if owner[row, column] >= 0 and owner[row, column] != numbers[k]:
                    break
                if bilinear(nuclear, x, y) < edge:
                    break
                last = r
                r += step
            # The edge lies between the last sample inside and the next one.
            radii[k, a] = max(last + step / 2, 0.5)
    return radii


def _smooth(radii: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth the contours: a median over three directions removes outliers, then a binomial filter."""
    around = np.stack([np.roll(radii, turn, axis=1) for turn in (-1, 0, 1)])
    middle = np.median(around, axis=0)
    evened = (np.roll(middle, 1, axis=1) + 2 * middle + np.roll(middle, -1, axis=1)) / 4
    return np.asarray(evened, np.float32)


def _maxima(depth: Plane) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return x and y of the local maxima by falling depth, ties by position."""
    around = cv2.dilate(depth, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    # Plateaus give several maxima, which are merged later: no neck separates them.
    y, x = np.nonzero((depth >= around) & (depth > 0))
    order = np.lexsort((x, y, -depth[y, x]))
    return x[order], y[order]


def nuclei_from_map(
    nuclear: Plane, um_px: float, settings: NucleusMapSettings
) -> tuple[Nuclei, NDArray[np.int32]]:
    """Detect nuclei in a probability map.

    Parameters
    ----------
    nuclear
        float32 (H, W), probability of nucleus, 0..1.
    um_px
        Size of its pixels, µm.
    settings
        Criteria for nuclei.

    Returns
    -------
    tuple[Nuclei, NDArray[np.int32]]
        The nuclei, pixels of the map, and int32 (H, W), index of the nucleus that owns each pixel, `UNOWNED` elsewhere.
    """
    s = settings
    nuclear = blur(nuclear, s.blur_um / um_px)
    mask = (nuclear >= s.min_probability).astype(np.uint8)
    depth = blur(
        cast(Plane, cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)), s.smooth_um / um_px
    )
    # The blur spreads depth beyond the mask, where no maximum may lie.
    depth[mask == 0] = 0
    x, y = _maxima(depth)
    kept = _separated_maxima(depth, x, y, s.neck_share, 2 * s.max_radius_um / um_px)
    x, y = x[kept], y[kept]
    # Numbered by position, since ties between territories go to the lower number.
    order = np.lexsort((x, y))
    x, y = x[order], y[order]
    owner = np.full(mask.shape, UNOWNED, np.int32)
    owner[y, x] = np.arange(len(x), dtype=np.int32)
    # A large nucleus starts with a lead over a small one, so that they are split at the neck and not half-way.
    longest = 2 * s.max_radius_um / um_px
    lead = np.zeros(mask.shape, np.int32)
    lead[y, x] = np.maximum(longest - depth[y, x], 0) * STRAIGHT_STEP * _PER_PX
    price = np.where(mask > 0, _PER_PX, -1).astype(np.int32)
    owner, _ = grow_territories(owner, lead, price, int(2 * longest * STRAIGHT_STEP * _PER_PX))
    centre, area, peak = _measure_owned(owner, nuclear, len(x))
    good = (area * um_px**2 >= s.min_area_um2) & (peak >= s.min_peak)
    numbers = np.flatnonzero(good)
    radii = _radii(owner, nuclear, centre[good], numbers, s.min_probability, s.max_radius_um / um_px)
    renumber = np.full(len(x) + 1, UNOWNED, np.int32)
    renumber[numbers] = np.arange(len(numbers), dtype=np.int32)
    return Nuclei(centre[good], _smooth(radii)), renumber[owner]
