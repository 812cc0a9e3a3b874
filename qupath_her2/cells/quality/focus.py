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
import numpy as np
from numpy.typing import NDArray

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
_BINS_UM = 0.12 * 1.08 ** np.arange(36)


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


def _slope(plane: Plane) -> Plane:
    dx = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3)
    dy = cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3)
    return np.asarray(cv2.magnitude(dx, dy), np.float32)


def _slopes(
    rgb: NDArray[np.uint8], tables: NDArray[np.float32], um_px: float
) -> tuple[Plane, Plane, NDArray[np.bool_]]:
    """Return the slopes of the optical density before and after blurring it again, and the crests of edges.

    `tables` hold a third of the optical density of each colour.
    """
    mean = summed_colours(np.ascontiguousarray(rgb), tables)
    sharp = blur(mean, _FIRST_UM / um_px)
    slope = _slope(sharp)
    # On the flanks of an edge the ratio of slopes says nothing about blur.
    crest = slope >= 0.95 * cv2.dilate(slope, np.ones((3, 3), np.uint8))
    return slope, _slope(blur(sharp, _AGAIN_UM / um_px)), crest


def _sigma_um(slope: Plane, again: Plane) -> NDArray[np.float64]:
    """Return the blur of edges from their slopes before and after blurring them again, µm."""
    ratio = slope.astype(np.float64) / np.maximum(again, 1e-6)
    sigma: NDArray[np.float64] = _AGAIN_UM / np.sqrt(np.maximum(ratio**2 - 1, 1e-3))
    return sigma


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
    tables = density_tables(stains.background_rgb) / np.float32(3)
    weights = np.zeros((rows, columns, len(_BINS_UM) + 1))
    counts = np.zeros((rows, columns))
    for row in range(rows):
        # Every other row of blocks: two thirds of the neighbourhood say as much as all of it, at half the time.
        if (top + row) % 2:
            continue
        first_y = (top + row) * BLOCK_PX - corner[1]
        low, high = max(first_y - margin, 0), min(first_y + BLOCK_PX + margin, height)
        slope, again, crest = _slopes(rgb[low:high], tables, um_px)
        inside = slice(first_y - low, first_y - low + BLOCK_PX), slice(first_x, first_x + columns * BLOCK_PX)
        slope, again, crest = slope[inside], again[inside], crest[inside]
        y, x = np.nonzero(crest & (slope > _FAINTEST_SLOPE))
        steep = slope[y, x]
        number = np.digitize(_sigma_um(steep, again[y, x]), _BINS_UM) + x // BLOCK_PX * (len(_BINS_UM) + 1)
        # Strong edges say more than faint ones, which are often of structures that are soft by themselves.
        weights[row] = np.bincount(number, steep**2, weights[row].size).reshape(columns, -1)
        counts[row] = np.bincount(x // BLOCK_PX, minlength=columns)
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
        padded = np.pad(values, [(1, 1) if a == axis else (0, 0) for a in range(values.ndim)])
        n = values.shape[axis]
        values = sum(np.take(padded, np.arange(k, k + n), axis) for k in range(3))  # type: ignore[assignment]
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
