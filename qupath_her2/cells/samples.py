"""Sample windows of an image, read before its cells to assess blur, stain and the strength of its nuclei.

Windows lie on a lattice anchored at the image's corner: they do not depend on tiles or workers, and the same regions
always give the same samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.grid import Grid
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import CellDetector, Tile
from qupath_her2.cells.nuclei.star_contours import polygon_areas
from qupath_her2.cells.stain_planes import PlaneSettings, make_planes
from qupath_her2.regions import RegionMap
from qupath_her2.slides.readers.slide import Slide, read_scaled
from qupath_her2.slides.stains.vectors import StainVectors

__all__ = ["Sample", "read_samples", "sampled_nuclei"]

_WINDOW_PX = 256
_FEWEST_SAMPLES, _MOST_SAMPLES = 6, 16
#: Fraction of the scored area that is sampled, within those numbers.
_SAMPLED_SHARE = 1 / 6
#: Granularity of `Sample.inside`: testing a point per block is 64 times cheaper than one per pixel.
_BLOCK_PX = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """A window of the working grid.

    Attributes
    ----------
    tile
        Its pixels and stain planes.
    inside
        bool (H, W), the pixels within a scored region.
    corner
        Top-left corner, x, y, working pixels.
    """

    tile: Tile
    inside: NDArray[np.bool_]
    corner: tuple[int, int] = (0, 0)


def _spread(places: NDArray[np.float64], wanted: int) -> list[int]:
    """Choose `wanted` of N places (N, 2) by farthest-point sampling, beginning with the most central one."""
    chosen = [int(np.square(places - places.mean(0)).sum(1).argmin())]
    distance = np.full(len(places), np.inf)
    while len(chosen) < wanted:
        distance = np.minimum(distance, np.square(places - places[chosen[-1]]).sum(1))
        chosen.append(int(distance.argmax()))
    return chosen


def _windows(regions: RegionMap, grid: Grid) -> list[tuple[int, int]]:
    """Choose evenly spread windows that the regions fill well; return their corners (x, y), working pixels."""
    side = _WINDOW_PX * grid.downsample
    low_x, low_y, high_x, high_y = (v / side for v in regions.bounds())
    columns = np.arange(max(int(low_x), 0), int(high_x) + 1)
    rows = np.arange(max(int(low_y), 0), int(high_y) + 1)
    x, y = (v.ravel() for v in np.meshgrid(columns, rows))
    if len(x) == 0:
        # The regions lie entirely outside the image.
        return []
    # Frames are in level-0 pixels, as the regions are.
    frames = shapely.box(x * side, y * side, (x + 1) * side, (y + 1) * side)
    filled = np.zeros(len(frames))
    for region in regions.scored:
        near = np.flatnonzero(shapely.intersects(region.geometry, frames))
        filled[near] += shapely.area(shapely.intersection(region.geometry, frames[near]))
    # Relative to the best window: small regions fill none, and would otherwise have no sample at all.
    good = np.flatnonzero(filled >= 0.5 * filled.max())
    wanted = int(np.clip(_SAMPLED_SHARE * filled.sum() / side**2, _FEWEST_SAMPLES, _MOST_SAMPLES))
    chosen = good[_spread(np.stack([x[good], y[good]], 1).astype(np.float64), min(wanted, len(good)))]
    return [(int(x[i]) * _WINDOW_PX, int(y[i]) * _WINDOW_PX) for i in chosen]


def _inside(regions: RegionMap, grid: Grid, x: int, y: int) -> NDArray[np.bool_]:
    """Return bool (H, W), the pixels of a window within a scored region, decided for blocks of 8 x 8 pixels."""
    offsets = np.arange(_BLOCK_PX / 2, _WINDOW_PX, _BLOCK_PX)
    column, row = (v.ravel() for v in np.meshgrid(x + offsets, y + offsets))
    hit = regions.assign(np.stack([column, row], 1) * grid.downsample) >= 0
    blocks = hit.reshape(len(offsets), len(offsets))
    return np.repeat(np.repeat(blocks, _BLOCK_PX, 0), _BLOCK_PX, 1)


def read_samples(
    slide: Slide, regions: RegionMap, grid: Grid, stains: StainVectors, planes: PlaneSettings
) -> list[Sample]:
    """Read up to 16 windows of 256 working pixels, spread over the scored regions.

    Parameters
    ----------
    slide
        An open image.
    regions
        Regions of the image, at least one of them scored.
    grid
        Working grid.
    stains
        Stain vectors and background of the image.
    planes
        Settings of the stain planes.

    Returns
    -------
    list[Sample]
        Empty where all regions lie outside the image.

    Raises
    ------
    ImageReadError
        When the file is damaged or gone.
    """
    samples = []
    for x, y in _windows(regions, grid):
        left, top = round(x * grid.downsample), round(y * grid.downsample)
        rgb = read_scaled(slide, left, top, _WINDOW_PX, _WINDOW_PX, grid.downsample)
        tile = Tile(rgb, make_planes(rgb, stains, grid.um_px, planes))
        samples.append(Sample(tile, _inside(regions, grid, x, y), (x, y)))
    return samples


def sampled_nuclei(samples: Sequence[Sample], detector: CellDetector, um_px: float) -> NDArray[np.float32]:
    """Return the areas of the nuclei in the scored parts of the samples.

    Those in which another program's cells lie are a choice of that program: of one core, QuPath's detection chose 174
    of 983 nuclei, small enough to put the pixel size in doubt, while all of them fitted it.

    Parameters
    ----------
    samples
        Windows of the image.
    detector
        Adapted to them before it is used.
    um_px
        Pixel size of the working grid, µm.

    Returns
    -------
    NDArray[np.float32]
        float32 (N), µm².
    """
    finder = detector.prepared([sample.tile for sample in samples])
    radii: list[NDArray[np.float32]] = [np.zeros((0, N_ANGLES), np.float32)]
    for sample in samples:
        nuclei = finder.detect(sample.tile)
        column, row = np.round(nuclei.centre).astype(np.intp).T
        radii.append(nuclei.radii[sample.inside[row, column]] * np.float32(um_px))
    return polygon_areas(np.concatenate(radii))
