"""Cells of a part of an image, measured again with other stain vectors, to see how much they decide.

A few small tiles suffice: what is compared is the same tissue with two pairs of vectors, and a whole slide measured
twice would take twice as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.grid import Grid, TileBox, make_grid
from qupath_her2.cells.measure import CellSettings, MeasuredCells, find_cells
from qupath_her2.cells.membrane.grading import grade
from qupath_her2.cells.membrane.measurements import measured_estimates
from qupath_her2.cells.network_cells import ClassMap, NetworkCellSettings
from qupath_her2.cells.nuclei.detection import CellDetector
from qupath_her2.cells.quality.cut_areas import cut_out_of_focus
from qupath_her2.cells.quality.empty_outlines import without_measurements
from qupath_her2.cells.samples import read_samples
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.records import Region
from qupath_her2.regions import map_regions
from qupath_her2.slides.readers.slide import Slide
from qupath_her2.slides.stains.vectors import StainVectors

__all__ = ["RestainedCells", "restain_cells"]

#: 512 working pixels are about 260 µm, some 400 crowded cells; three tiles bound the sampling error of a share of 10 %
#: to about 2 points between tiles, and the paired change is far smaller.
_TILE_PX = 512
_MOST_TILES = 3


@dataclass(frozen=True, slots=True, eq=False)
class RestainedCells:
    """Cells of some tiles under two pairs of stain vectors.

    Attributes
    ----------
    before
        bool (N,), the cells of the image that lie in these tiles.
    intensity, pattern
        uint8 (M,), grades of the cells found there with the other vectors.
    """

    before: NDArray[np.bool_]
    intensity: NDArray[np.uint8]
    pattern: NDArray[np.uint8]


def restain_cells(
    slide: Slide,
    cells: MeasuredCells,
    regions: Sequence[Region],
    alternatives: Mapping[str, StainVectors],
    *,
    pixel_size_um: float,
    settings: CellSettings,
    searched: Sequence[Region] | None = None,
    existing: ExistingCells | None = None,
    detector: CellDetector | None = None,
    classes: ClassMap | None = None,
    network: NetworkCellSettings | None = None,
    workers: int = 1,
) -> dict[str, RestainedCells]:
    """Measure the cells of a few tiles again, once with each pair of vectors.

    Parameters
    ----------
    slide
        An open image.
    cells
        Its cells, measured with the vectors in use.
    regions
        Regions of all roles.
    alternatives
        {name: vectors and background}.
    pixel_size_um
        Pixel size of level 0, µm.
    settings
        Settings of every step.
    searched
        Regions that were searched for the tumour in `regions`; None where those were drawn.
    existing, detector, classes, network, workers
        As in `measure_cells`.

    Returns
    -------
    dict[str, RestainedCells]
        By name; empty without cells.
    """
    if not len(cells.table) or not alternatives:
        return {}
    region_map = map_regions(regions)
    sampled = region_map if searched is None else map_regions(searched)
    grid = make_grid(pixel_size_um, settings.grid)
    small = replace(grid, settings=replace(grid.settings, tile_px=_TILE_PX))
    tiles, before = _fullest_tiles(small, region_map.bounds(), cells.table.centroid_xy)
    found = {}
    for name, stains in alternatives.items():
        # Samples of the whole image, as in the first measurement: the detector adapts to them.
        samples = read_samples(slide, sampled, grid, stains, settings.planes)
        again = find_cells(
            slide, region_map, small, stains, samples, settings,
            existing=existing, detector=detector, classes=classes, network=network,
            workers=workers, tiles=tiles,
        )  # fmt: skip
        again, _ = cut_out_of_focus(again, region_map, small, settings.quality)
        if cells.empty is not None:
            again = without_measurements(again)
        intensity, pattern = grade(measured_estimates(again.measurements), cells.grading)
        found[name] = RestainedCells(before, intensity, pattern)
    return found


def _fullest_tiles(
    grid: Grid, bounds: tuple[float, float, float, float], centroid_xy: NDArray[np.float32]
) -> tuple[list[TileBox], NDArray[np.bool_]]:
    """Choose tiles with many cells, spread over the image, and mark the cells in them, bool (N,)."""
    tiles = list(grid.tiles(bounds))
    insides = []
    for tile in tiles:
        core = grid.level0(tile.core)
        offset = centroid_xy - np.array([core.x, core.y], np.float32)
        insides.append(((offset >= 0) & (offset < [core.width, core.height])).all(axis=1))
    numbers = np.array([inside.sum() for inside in insides])
    # Tiles at the edge of the tumour hold few cells, and much of what surrounds it.
    full = np.flatnonzero(numbers >= max(1, numbers.max() / 2))
    chosen = full[np.unique(np.linspace(0, len(full) - 1, _MOST_TILES).round().astype(int))]
    return [tiles[i] for i in chosen], np.any([insides[i] for i in chosen], axis=0)
