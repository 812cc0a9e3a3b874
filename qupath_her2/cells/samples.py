"""Evenly spread samples of an image, read before its cells: to know its blur, its stain and its nuclei.

Samples are whole windows of a lattice counted from the image's corner, so that they do not depend on tiles or
workers, and the same regions always give the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.grid import Grid
from qupath_her2.cells.nuclei.detection import Tile
from qupath_her2.regions import RegionMap
from qupath_her2.cells.stain_planes import PlaneSettings, make_planes
from qupath_her2.slides.readers.slide import Slide, read_scaled
from qupath_her2.slides.stains.vectors import StainVectors

__all__ = ["Sample", "read_samples"]

_WINDOW_PX = 256
_FEWEST_SAMPLES, _MOST_SAMPLES = 6, 16
#: A sixth of the scored ground is looked at, within those numbers.
_SAMPLED_SHARE = 1 / 6
_BLOCK_PX = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """A window of the working grid: its `tile` and, bool (H, W), the pixels `inside` a scored region."""

    tile: Tile
    inside: NDArray[np.bool_]


def _spread(places: NDArray[np.float64], wanted: int) -> list[int]:
    """Choose `wanted` of N places (N, 2), each as far as it can be from those before; the first in their middle."""
    chosen = [int(np.square(places - places.mean(0)).sum(1).argmin())]
    distance = np.full(len(places), np.inf)
    while len(chosen) < wanted:
        distance = np.minimum(distance, np.square(places - places[chosen[-1]]).sum(1))
        chosen.append(int(distance.argmax()))
    return chosen


def _windows(regions: RegionMap, grid: Grid) -> list[tuple[int, int]]:
    """Choose windows (x, y in working pixels): those well filled by the regions, evenly spread."""
    side = _WINDOW_PX * grid.downsample
    low_x, low_y, high_x, high_y = (v / side for v in regions.bounds())
    columns = np.arange(max(int(low_x), 0), int(high_x) + 1)
    rows = np.arange(max(int(low_y), 0), int(high_y) + 1)
    x, y = (v.ravel() for v in np.meshgrid(columns, rows))
    if len(x) == 0:
        # Regions drawn wholly beside the image.
        return []
    frames = shapely.box(x * side, y * side, (x + 1) * side, (y + 1) * side)
    filled = np.zeros(len(frames))
    for region in regions.scored:
        near = np.flatnonzero(shapely.intersects(region.geometry, frames))
        filled[near] += shapely.area(shapely.intersection(region.geometry, frames[near]))
    good = np.flatnonzero(filled >= 0.5 * filled.max())
    wanted = int(np.clip(_SAMPLED_SHARE * filled.sum() / side**2, _FEWEST_SAMPLES, _MOST_SAMPLES))
    chosen = good[_spread(np.stack([x[good], y[good]], 1).astype(np.float64), min(wanted, len(good)))]
    return [(int(x[i]) * _WINDOW_PX, int(y[i]) * _WINDOW_PX) for i in chosen]


def _inside(regions: RegionMap, grid: Grid, x: int, y: int) -> NDArray[np.bool_]:
    """Which pixels of a window lie in a scored region, decided for blocks of 8 pixels."""
    offsets = np.arange(_BLOCK_PX / 2, _WINDOW_PX, _BLOCK_PX)
    column, row = (v.ravel() for v in np.meshgrid(x + offsets, y + offsets))
    hit = regions.assign(np.stack([column, row], 1) * grid.downsample) >= 0
    blocks = hit.reshape(len(offsets), len(offsets))
    return np.repeat(np.repeat(blocks, _BLOCK_PX, 0), _BLOCK_PX, 1)


def read_samples(
    slide: Slide, regions: RegionMap, grid: Grid, stains: StainVectors, planes: PlaneSettings
) -> list[Sample]:
    """Read up to 12 windows of 256 working pixels, spread over the scored regions.

    Parameters
    ----------
    slide
        An open image.
    regions
        At least one of them scored; wholly beside the image they give no sample.
    grid
        Working grid.
    stains
        Vectors and background.
    planes
        Weights and scales.
    """
    samples = []
    for x, y in _windows(regions, grid):
        left, top = round(x * grid.downsample), round(y * grid.downsample)
        rgb = read_scaled(slide, left, top, _WINDOW_PX, _WINDOW_PX, grid.downsample)
        tile = Tile(rgb, make_planes(rgb, stains, grid.um_px, planes))
        samples.append(Sample(tile, _inside(regions, grid, x, y)))
    return samples
