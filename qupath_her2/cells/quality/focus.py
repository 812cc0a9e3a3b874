"""Focus: blur of the edges of a picture, block by block.

Blurring an edge of blur sigma again by s lowers its slope by the factor ``sqrt(sigma^2 + s^2) / sigma`` [1]_. That
ratio gives sigma without any knowledge of the picture's texture, on which energy-based sharpness measures depend.

References
----------
.. [1] Zhuo S, Sim T. "Defocus map estimation from a single image." Pattern Recognition 44:1852-1858, 2011.
   doi:10.1016/j.patcog.2011.03.009
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.star_contours import FAST_MATH
from qupath_her2.cells.stain_planes import Plane, blur, summed_colours
from qupath_her2.slides.stains.vectors import StainVectors, density_tables

__all__ = ["BLOCK_PX", "FocusMap", "focus_map"]

#: Side of a block, working pixels: about 16 µm, a cell and its neighbours.
BLOCK_PX = 32
#: About the blur to be detected, µm: less would hardly change the slopes, more would merge neighbouring edges.
_AGAIN_UM = 0.5
#: Blur before anything else, µm: otherwise pixel noise and JPEG blocks would be the sharpest edges.
_FIRST_UM = 0.3
#: Slope (Sobel) of the faintest edge of a block that counts, OD; paper and glass have less.
_FAINTEST_SLOPE = 0.02
#: Fewest edge pixels from which the blur of a block is told.
_FEWEST_EDGES = 20
#: Bins of blur, µm; their width, 8 %, is finer than blocks of one picture differ.
_BINS_UM = (0.12 * 1.08 ** np.arange(36)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class FocusMap:
    """Blur of the blocks of a tile.

    Attributes
    ----------
    first
        Column and row of the first block; block (0, 0) begins at the image's corner.
    blur_um
        float32 (rows, columns), median blur of the edges in and around each block, µm; NaN with too few edges.
    """

    first: tuple[int, int]
    blur_um: NDArray[np.float32]

    def at(self, xy: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the blur of the blocks that hold N points (N, 2), working pixels; NaN beyond the map, float32 (N)."""
        column, row = (np.floor(xy / BLOCK_PX).astype(np.int64) - self.first).T
        rows, columns = self.blur_um.shape
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        found = np.full(len(xy), np.nan, np.float32)
        found[inside] = self.blur_um[row[inside], column[inside]]
        return found


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH, inline="always")
def _slope_at(plane: Plane, y: int, x: int, up: int, down: int, left: int, right: int) -> np.float32:
    """Return the slope (Sobel) at a place, whose neighbours are in the rows and columns given."""
    two = np.float32(2)
    dx = plane[up, right] - plane[up, left] + two * (plane[y, right] - plane[y, left])
    dx += plane[down, right] - plane[down, left]
    dy = plane[down, left] - plane[up, left] + two * (plane[down, x] - plane[up, x])
    dy += plane[down, right] - plane[up, right]
    slope: np.float32 = np.sqrt(dx * dx + dy * dy)
    return slope


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _slope(plane: Plane) -> Plane:
    """Return the slope at each pixel; beyond the frame the plane is mirrored."""
    height, width = plane.shape
    slope = np.empty((height, width), np.float32)
    for y in range(height):
        up, down, line = abs(y - 1), min(y + 1, 2 * height - 3 - y), slope[y]
        for x in range(1, width - 1):
            line[x] = _slope_at(plane, y, x, up, down, x - 1, x + 1)
        line[0] = _slope_at(plane, y, 0, up, down, 1, 1)
        line[width - 1] = _slope_at(plane, y, width - 1, up, down, width - 2, width - 2)
    return slope


@nb.njit(cache=True, nogil=True)
def _count_edges(
    slope: Plane,
    again: Plane,
    first: tuple[int, int],
    bins_um: NDArray[np.float64],
    weights: NDArray[np.float64],
    counts: NDArray[np.float64],
) -> None:
    """Add the edges of a row of blocks to the `weights` (columns, bins + 1) of their blur, and to the `counts`.

    `again` is the plane of that slope blurred again, and `first` the row and the column at which the blocks begin.
    """
    height, width = slope.shape
    # Beside the plane nothing is higher.
    highest, is_crest = np.full(width + 2, -np.inf, np.float32), np.empty(width, np.bool_)
    for y in range(first[0], first[0] + BLOCK_PX):
        up, down, here = abs(y - 1), min(y + 1, 2 * height - 3 - y), slope[y]
        one, two = slope[max(y - 1, 0)], slope[min(y + 1, height - 1)]
        # Loops without branches are vectorised; they leave few pixels to the last one.
        for x in range(width):
            highest[x + 1] = max(here[x], max(one[x], two[x]))
        for x in range(width):
            around = max(highest[x], max(highest[x + 1], highest[x + 2]))
            # On the flanks of an edge the ratio of slopes says nothing about blur.
            is_crest[x] = (here[x] >= np.float32(0.95) * around) & (here[x] > np.float32(_FAINTEST_SLOPE))
        for x in range(first[1], first[1] + len(counts) * BLOCK_PX):
            if not is_crest[x]:
                continue
            steep = here[x]
            softer = _slope_at(again, y, x, up, down, abs(x - 1), min(x + 1, 2 * width - 3 - x))
            ratio = float(steep) / max(float(softer), 1e-6)
            sigma_um = _AGAIN_UM / math.sqrt(max(ratio * ratio - 1, 1e-3))
            column = (x - first[1]) // BLOCK_PX
            # Strong edges say more than faint ones, which are often of structures that are soft by themselves.
            weights[column, np.searchsorted(bins_um, sigma_um, side="right")] += steep * steep
            counts[column] += 1


def focus_map(
    rgb: NDArray[np.uint8],
    stains: StainVectors,
    um_px: float,
    corner: tuple[int, int] = (0, 0),
    image: tuple[int, int] | None = None,
) -> FocusMap:
    """Estimate the blur of each block of a tile from the edges in it and in the eight blocks around it.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3) on the working grid.
    stains
        Gives the background colour.
    um_px
        Pixel size of `rgb`, µm.
    corner
        Place of the tile's corner, x, y, working pixels.
    image
        Width and height of the image, working pixels; what the tile holds beyond it is blank. None for a tile that lies
        within it.

    Returns
    -------
    FocusMap
        Of all blocks that the tile holds whole.
    """
    if image is not None:
        rgb = _without_frame(rgb, corner, image)
    height, width = rgb.shape[:2]
    left, top = (-(-v // BLOCK_PX) for v in corner)
    rows, columns = ((corner[1] + height) // BLOCK_PX - top, (corner[0] + width) // BLOCK_PX - left)
    if rows <= 0 or columns <= 0:
        return FocusMap((left, top), np.zeros((max(rows, 0), max(columns, 0)), np.float32))
    margin = math.ceil(3 * _AGAIN_UM / um_px) + math.ceil(3 * _FIRST_UM / um_px) + 2
    first_x = left * BLOCK_PX - corner[0]
    rgb = np.ascontiguousarray(rgb)
    tables = density_tables(stains.background_rgb) / np.float32(3)
    weights = np.zeros((rows, columns, len(_BINS_UM) + 1))
    counts = np.zeros((rows, columns))
    for row in range(rows):
        # Every other row of blocks: two thirds of the neighbourhood say as much as all of it, at half the time.
        if (top + row) % 2:
            continue
        first_y = (top + row) * BLOCK_PX - corner[1]
        low, high = max(first_y - margin, 0), min(first_y + BLOCK_PX + margin, height)
        sharp = blur(summed_colours(rgb[low:high], tables), _FIRST_UM / um_px)
        again = blur(sharp, _AGAIN_UM / um_px)
        _count_edges(_slope(sharp), again, (first_y - low, first_x), _BINS_UM, weights[row], counts[row])
    return FocusMap((left, top), _median_blur(weights, counts))


def _without_frame(
    rgb: NDArray[np.uint8], corner: tuple[int, int], image: tuple[int, int]
) -> NDArray[np.uint8]:
    """Continue the image beyond its frame, which would be the sharpest edge of a tile that is padded with white."""
    height, width = rgb.shape[:2]
    left, top = (min(max(-v, 0), n) for v, n in zip(corner, (width, height), strict=True))
    right, bottom = (max(v + n - size, 0) for v, n, size in zip(corner, (width, height), image, strict=True))
    inner = rgb[top : max(height - bottom, 0), left : max(width - right, 0)]
    if inner.size == 0 or inner.size == rgb.size:
        return rgb
    continued = cv2.copyMakeBorder(inner, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return np.asarray(continued, np.uint8)


def _around(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over each block and its eight neighbours, along the first two axes."""
    for axis in (0, 1):
        along = np.moveaxis(values, axis, 0)
        summed = along.copy()
        summed[1:] += along[:-1]
        summed[:-1] += along[1:]
        values = np.moveaxis(summed, 0, axis)
    return values


def _median_blur(weights: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the weighted median of the blur in and around each block, µm; NaN with too few edges."""
    total = np.cumsum(_around(weights), axis=2)
    half = (total >= 0.5 * total[..., -1:]).argmax(axis=2)
    # Bin k lies below edge k; its middle stands for it.
    edges = np.concatenate([_BINS_UM, _BINS_UM[-1:] * 1.08])
    found: NDArray[np.float32] = (edges[half] / math.sqrt(1.08)).astype(np.float32)
    found[_around(counts) < _FEWEST_EDGES] = np.nan
    return found
