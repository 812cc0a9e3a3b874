"""Nuclei in a network's map: each a hill of distance to the map's edge, touching ones parted at their necks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.territory import STRAIGHT_STEP, UNOWNED, grow_territories
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import Nuclei
from qupath_her2.cells.nuclei.star_contours import bilinear
from qupath_her2.cells.stain_planes import Plane, blur

__all__ = ["NucleusMapSettings", "nuclei_from_map"]

#: Costs are whole numbers: this many to a pixel of distance, of which the first seeds begin with their lead.
_PER_PX = 16


@dataclass(frozen=True, slots=True)
class NucleusMapSettings:
    """What counts as a nucleus in a map of probabilities.

    Attributes
    ----------
    blur_um
        Sigma by which the map is blurred, against grain.
    min_probability
        The edge of a nucleus.
    min_area_um2
        Smallest nucleus; a network knows the caps of nuclei cut near their end from specks.
    min_peak
        The most certain place of a nucleus is at least so probable.
    smooth_um
        Sigma by which distances to the edge are smoothed before their hills are counted.
    neck_share
        Two hills are two nuclei where the way between them narrows to less than this share of the smaller
        one's half width.
    max_radius_um
        No nucleus reaches farther from its centre.
    """

    blur_um: float = 0.25
    min_probability: float = 0.45
    min_area_um2: float = 4.0
    min_peak: float = 0.6
    smooth_um: float = 0.5
    neck_share: float = 0.85
    max_radius_um: float = 9.0


@nb.njit(cache=True, nogil=True)
def _narrowest(depth: Plane, ax: int, ay: int, bx: int, by: int) -> float:
    """Return the least depth on the straight way between two places."""
    steps = max(abs(bx - ax), abs(by - ay), 1)
    least = np.inf
    for i in range(steps + 1):
        least = min(least, bilinear(depth, ax + (bx - ax) * i / steps, ay + (by - ay) * i / steps))
    return float(least)


@nb.njit(cache=True, nogil=True)
def _one_a_hill(
    depth: Plane, x: NDArray[np.int64], y: NDArray[np.int64], neck_share: float, reach: float
) -> NDArray[np.bool_]:
    """Keep of N tops, the deepest first, those that a neck parts from every deeper one kept."""
    height, width = depth.shape
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
                        good = _narrowest(depth, x[k], y[k], x[other], y[other]) < neck_share * own
                    other = following[other]
        if good:
            kept[k] = True
            following[k] = heads[row * across + column]
            heads[row * across + column] = k
    return kept


@nb.njit(cache=True, nogil=True)
def _gather(
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
    """Walk from each centre until the map falls below `edge` or the ground is another's."""
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
                # The first pixels of another's ground, or of none, count where the map still says nucleus.
                if owner[row, column] >= 0 and owner[row, column] != numbers[k]:
                    break
                if bilinear(nuclear, x, y) < edge:
                    break
                last = r
                r += step
            radii[k, a] = max(last + step / 2, 0.5)
    return radii


def _rounded(radii: NDArray[np.float32]) -> NDArray[np.float32]:
    """Even out each radius with its neighbours, first of all what only one direction says."""
    around = np.stack([np.roll(radii, turn, axis=1) for turn in (-1, 0, 1)])
    middle = np.median(around, axis=0)
    evened = (np.roll(middle, 1, axis=1) + 2 * middle + np.roll(middle, -1, axis=1)) / 4
    return np.asarray(evened, np.float32)


def _tops(depth: Plane) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return x and y of the hills' tops, the deepest first, equal ones by their place."""
    around = cv2.dilate(depth, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    y, x = np.nonzero((depth >= around) & (depth > 0))
    order = np.lexsort((x, y, -depth[y, x]))
    return x[order], y[order]


def nuclei_from_map(
    nuclear: Plane, um_px: float, settings: NucleusMapSettings
) -> tuple[Nuclei, NDArray[np.int32]]:
    """Find the nuclei in a map of their probability.

    Parameters
    ----------
    nuclear
        float32 (H, W), 0..1.
    um_px
        Size of its pixels, µm.
    settings
        What counts as one.

    Returns
    -------
    tuple[Nuclei, NDArray[np.int32]]
        The nuclei, pixels of the map, and int32 (H, W), the nucleus that owns each pixel, `UNOWNED` elsewhere.
    """
    s = settings
    nuclear = blur(nuclear, s.blur_um / um_px)
    mask = (nuclear >= s.min_probability).astype(np.uint8)
    depth = blur(
        cast(Plane, cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)), s.smooth_um / um_px
    )
    depth[mask == 0] = 0
    x, y = _tops(depth)
    kept = _one_a_hill(depth, x, y, s.neck_share, 2 * s.max_radius_um / um_px)
    x, y = x[kept], y[kept]
    order = np.lexsort((x, y))
    x, y = x[order], y[order]
    owner = np.full(mask.shape, UNOWNED, np.int32)
    owner[y, x] = np.arange(len(x), dtype=np.int32)
    # A large nucleus has a lead over a small one, so that they part at the neck and not half-way.
    longest = 2 * s.max_radius_um / um_px
    lead = np.zeros(mask.shape, np.int32)
    lead[y, x] = np.maximum(longest - depth[y, x], 0) * STRAIGHT_STEP * _PER_PX
    price = np.where(mask > 0, _PER_PX, -1).astype(np.int32)
    owner, _ = grow_territories(owner, lead, price, int(2 * longest * STRAIGHT_STEP * _PER_PX))
    centre, area, peak = _gather(owner, nuclear, len(x))
    good = (area * um_px**2 >= s.min_area_um2) & (peak >= s.min_peak)
    numbers = np.flatnonzero(good)
    radii = _radii(owner, nuclear, centre[good], numbers, s.min_probability, s.max_radius_um / um_px)
    renumber = np.full(len(x) + 1, UNOWNED, np.int32)
    renumber[numbers] = np.arange(len(numbers), dtype=np.int32)
    return Nuclei(centre[good], _rounded(radii)), renumber[owner]
