"""Cells of an image with what the tumour finder sees of them, measured as `qupath-her2 propose` measures them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.measure import find_cells
from qupath_her2.cells.samples import read_samples
from qupath_her2.errors import ImageReadError
from qupath_her2.regions import map_regions
from qupath_her2.runs.image_setup import set_up_image
from qupath_her2.runs.inputs import gather_inputs
from qupath_her2.runs.whole_tissue import whole_tissue_region
from qupath_her2.slides.readers.view import open_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.cells.grid import Grid, TileBox
    from qupath_her2.records import Region
    from qupath_her2.runs.options import ScoreJob

__all__ = ["Tissue", "measure_tissue", "near_tiles"]

#: The finder looks at neighbours up to this far, µm; their tiles are measured too.
_REACH_UM = 60.0
#: Further tiles measured of a large slide: the strength of its nuclei, by which densities are divided, is that of all.
_OTHER_TILES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """N cells of an image.

    Attributes
    ----------
    centre_xy
        float64 (N, 2), centres of nuclei, level-0 pixels.
    um_px
        Pixel size of level 0, µm.
    features
        float32 (N, F), see `cells.tumour.surroundings.tissue_features`.
    """

    centre_xy: NDArray[np.float64]
    um_px: float
    features: NDArray[np.float32]


def measure_tissue(
    job: ScoreJob, wanted: Callable[[Sequence[Region]], Sequence[shapely.Geometry]] | None = None
) -> tuple[Tissue, tuple[Region, ...]]:
    """Find the cells of an image's tissue.

    Parameters
    ----------
    job
        The image, planned as for proposals.
    wanted
        Given the image's regions, returns where cells are needed, level-0 pixels: only tiles around them are measured,
        and a few others. None measures all tissue.

    Returns
    -------
    tissue : Tissue
        Without cells where none are wanted.
    regions : tuple[Region, ...]
        Annotations of the image as they are now.

    Raises
    ------
    ImageReadError
        The image is not assessable; the message has the reason.
    """
    with open_image(job.ref) as slide:
        inputs = gather_inputs(job, slide)
        size = inputs.pixel_size_um
        drawn = inputs.region_file.regions
        places = None if wanted is None else list(wanted(drawn))
        if places is not None and not places:
            return Tissue(np.zeros((0, 2)), size or float("nan"), np.zeros((0, 0), np.float32)), drawn
        setup = set_up_image(job, slide, inputs)
        whole = whole_tissue_region(setup.tissue, inputs.hash)
        refusal = setup.context.refusal
        if refusal is not None or whole is None or size is None:
            why = "it has no tissue" if refusal is None else refusal.reason
            raise ImageReadError(f"Image '{job.name}' is not assessable: {why}.")
        s = job.settings.cells
        regions, grid = map_regions([whole]), make_grid(size, s.grid)
        tiles = [tile for tile in grid.tiles(regions.bounds()) if regions.touches(grid.level0(tile.core))]
        samples = read_samples(slide, regions, grid, setup.context.stains, s.planes)
        found = find_cells(
            slide, regions, grid, setup.context.stains, samples, s,
            tiles=tiles if places is None else near_tiles(tiles, grid, places, size), with_tissue=True,
        )  # fmt: skip
    return Tissue(found.centre_xy, size, found.tissue), drawn


def near_tiles(
    tiles: Sequence[TileBox], grid: Grid, places: Sequence[shapely.Geometry], um_px: float
) -> list[TileBox]:
    """Choose the tiles to be measured.

    Parameters
    ----------
    tiles
        All tiles of the tissue.
    grid
        Their grid.
    places
        Where cells are needed, level-0 pixels.
    um_px
        Pixel size of level 0, µm.

    Returns
    -------
    list[TileBox]
        Those in reach of the places, and some others at even steps, in their order.
    """
    tree = shapely.STRtree(list(places))
    boxes = [grid.level0(tile.core) for tile in tiles]
    reach = _REACH_UM / um_px
    is_near = np.array(
        [
            bool(len(tree.query(shapely.box(b.x, b.y, b.x + b.width, b.y + b.height), "dwithin", reach)))
            for b in boxes
        ],
        bool,
    )
    others = np.flatnonzero(~is_near)
    step = max(1, len(others) // _OTHER_TILES)
    is_near[others[::step][:_OTHER_TILES]] = True
    return [tile for tile, near in zip(tiles, is_near, strict=True) if near]
