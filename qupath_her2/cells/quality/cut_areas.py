"""Areas out of focus are cut out: their cells are not scored, and everything else is.

A local loss of focus (a fold beside it, an air bubble above it, a thick rim) would otherwise turn membranes into
cytoplasm in a corner of a slide, or have a good slide refused for it.
"""

from __future__ import annotations

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.grid import Grid
from qupath_her2.cells.quality.focus import BLOCK_PX
from qupath_her2.cells.quality.settings import QualitySettings
from qupath_her2.cells.tile_cells import TileCells
from qupath_her2.records import CutArea, Refusal
from qupath_her2.regions import RegionMap
from qupath_her2.slides.tissue_outlines import polygon_parts

__all__ = ["check_cut", "cut_out_of_focus", "cut_warning"]


def cut_out_of_focus(
    found: TileCells, regions: RegionMap, grid: Grid, s: QualitySettings
) -> tuple[TileCells, CutArea | None]:
    """Take out the cells in areas that are out of focus.

    Parameters
    ----------
    found
        Cells with the blur around each of them; not to be used afterwards, see `TileCells.compacted`.
    regions
        Regions of the image, to which the area is clipped.
    grid
        Working grid of the image.
    s
        Gives the blur from which a block is out of focus.

    Returns
    -------
    tuple[TileCells, CutArea | None]
        The cells in focus, in their order, and the area of the others; None where all are in focus.
    """
    side = BLOCK_PX * grid.downsample
    # Existing cells may be centred beside the image, left of its first block.
    block = np.floor(found.centre_xy / side).astype(np.int64)
    is_blurred = found.edge_blur_um > s.max_edge_blur_um
    if not is_blurred.any():
        return found, None
    # A margin of two: at the edge of a mask, closing leaves what it has grown.
    first, last = block[is_blurred].min(0) - 2, block[is_blurred].max(0) + 2
    mask = np.zeros((last - first + 1)[::-1], np.uint8)
    column, row = (block[is_blurred] - first).T
    mask[row, column] = 1
    # Between two blurred blocks there is no focus either; one without cells has no blur of its own.
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), np.uint8)
    near = np.all((block >= first) & (block <= last), axis=1)
    cut = np.zeros(len(found), bool)
    column, row = (block[near] - first).T
    cut[near] = mask[row, column] > 0
    return found.compacted(~cut), CutArea("out of focus", _shape(mask, first, side, regions), int(cut.sum()))


def _shape(
    mask: NDArray[np.uint8], first: NDArray[np.int64], side: float, regions: RegionMap
) -> shapely.MultiPolygon:
    """Return the blocks of a mask within the scored regions, level-0 pixels."""
    row, column = np.nonzero(mask)
    x, y = (column + first[0]) * side, (row + first[1]) * side
    blocks = shapely.union_all(shapely.box(x, y, x + side, y + side))
    scored = shapely.union_all([region.geometry for region in regions.scored])
    return shapely.MultiPolygon(polygon_parts(shapely.intersection(blocks, scored)))


def cut_warning(cut: CutArea, n_cells: int, pixel_size_um: float) -> str:
    """Return the sentence that says how much was cut out.

    Parameters
    ----------
    cut
        The area.
    n_cells
        All cells, those of the area included.
    pixel_size_um
        Pixel size of level 0, µm.

    Returns
    -------
    str
        For the report.
    """
    area_mm2 = cut.geometry.area * pixel_size_um**2 / 1e6
    return (
        f"{cut.n_cells:,} of {n_cells:,} cells ({cut.n_cells / max(n_cells, 1):.0%}) lie {cut.kind}, on "
        f"{area_mm2:.2g} mm²; that area was cut out and is not scored."
    )


def check_cut(cut: CutArea, n_cells: int, s: QualitySettings) -> Refusal | None:
    """Return a refusal where too much of the tissue is out of focus.

    Parameters
    ----------
    cut
        Area that is cut out, with its cells.
    n_cells
        Number of all cells, those of the area included.
    s
        Limits.

    Returns
    -------
    Refusal | None
        With the code ``blurred``; None where enough is left.
    """
    share = cut.n_cells / max(n_cells, 1)
    if share <= s.max_blurred_share:
        return None
    reason = (
        f"out of focus: {share:.0%} of the cells lie where edges are blurred by more than {s.max_edge_blur_um:g} µm "
        f"(limit {s.max_blurred_share:.0%}). Scan the slide again."
    )
    return Refusal("blurred", reason)
