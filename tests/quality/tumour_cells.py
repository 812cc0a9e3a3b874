"""Cells of drawn and real pictures with the features of the tumour finder, for its training and its figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.membrane.outlines import outline_cells
from qupath_her2.cells.nuclei.detection import ClassicalDetector, Tile
from qupath_her2.cells.nuclei.star_contours import polygons
from qupath_her2.cells.samples import read_samples
from qupath_her2.cells.stain_planes import PlaneSettings, make_planes
from qupath_her2.cells.tumour.surroundings import tissue_features
from qupath_her2.records import Region
from qupath_her2.regions import map_regions
from qupath_her2.slides.readers.slide import open_slide, read_scaled
from qupath_her2.slides.stains.vectors import StainVectors
from qupath_her2.slides.tissue import find_tissue
from tests.quality.chain import group_vectors, picture_file

__all__ = ["FoundCells", "found_cells"]

#: Border read around a picture, working pixels; a multiple of 8.
_HALO_PX = 32


@dataclass(frozen=True, slots=True)
class FoundCells:
    """N cells of a picture.

    Attributes
    ----------
    centre_px
        float64 (N, 2), pixels of the picture as given.
    cell_xy
        float32 (N, 36, 2), outlines, the same pixels; empty where not asked for.
    features
        float32 (N, F), see `tissue_features`.
    um_px
        Pixel size that the cells were found with, µm.
    """

    centre_px: NDArray[np.float64]
    cell_xy: NDArray[np.float32]
    features: NDArray[np.float32]
    um_px: float


def found_cells(
    rgb: NDArray[np.uint8], um_px: float, *, with_outlines: bool = False, stains: StainVectors | None = None
) -> FoundCells:
    """Find the cells of a picture as a run over all its tissue does, in one tile.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    um_px
        Pixel size, µm.
    with_outlines
        Whether cells are outlined, for proposals.
    stains
        Stain vectors; None estimates them from the picture.

    Returns
    -------
    FoundCells
        Cells whose nuclear centre lies in the picture.
    """
    grid = make_grid(um_px)
    with picture_file(rgb) as path, open_slide(path) as slide:
        tissue = find_tissue(slide, pixel_size_um=um_px)
        if stains is None:
            (stains,) = group_vectors([(slide, tissue)], um_px)
        stains = replace(stains, background_rgb=tissue.background_rgb)
        whole = Region(UUID(int=1), shapely.box(0, 0, slide.width, slide.height), "tumour")
        samples = read_samples(slide, map_regions([whole]), grid, stains, PlaneSettings())
        detector = ClassicalDetector().prepared([sample.tile for sample in samples])
        width, height = (
            -(-int(side / grid.downsample + 1) // 8) * 8 + 2 * _HALO_PX
            for side in (slide.width, slide.height)
        )
        corner = round(-_HALO_PX * grid.downsample)
        tile_rgb = read_scaled(slide, corner, corner, width, height, grid.downsample)
    planes = make_planes(tile_rgb, stains, grid.um_px, PlaneSettings())
    nuclei = detector.detect(Tile(tile_rgb, planes))
    features = tissue_features(planes, nuclei.centre, nuclei.radii)
    centre = (nuclei.centre - _HALO_PX + 0.5) * grid.downsample
    inside = ((centre > 0) & (centre < np.array(rgb.shape[1::-1]))).all(1)
    cell_xy = np.zeros((int(inside.sum()), 0, 2), np.float32)
    if with_outlines:
        radii = outline_cells(planes, nuclei.centre, nuclei.radii).radii
        outlines = (polygons(nuclei.centre, radii) - _HALO_PX + 0.5) * grid.downsample
        cell_xy = outlines[inside].astype(np.float32)
    return FoundCells(centre[inside], cell_xy, features[inside], um_px)
