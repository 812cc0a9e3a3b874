"""Cells of drawn and real pictures with the features of the tumour finder, for its training and its figures.

Pictures are changed before the cells are found, as scanners, laboratories and wrong pixel sizes change them: the finder
must not hang on the scale, the softness or the stain of the few pictures it was shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

import cv2
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
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, unmix
from qupath_her2.slides.tissue import find_tissue
from tests.quality.chain import group_vectors, picture_file

__all__ = ["Change", "FoundCells", "change_picture", "found_cells", "random_change"]

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


@dataclass(frozen=True, slots=True)
class Change:
    """How a picture is changed.

    Attributes
    ----------
    read_um_px
        The picture is resampled to this pixel size first, µm; it is not enlarged.
    declared
        Factor on the pixel size that is then stated.
    blur_um
        Sigma of a blur, µm.
    hematoxylin, dab
        Factors on the stains.
    gamma
        Tone curve.
    jpeg_quality
        None = no JPEG.
    """

    read_um_px: float = 0.0
    declared: float = 1.0
    blur_um: float = 0.0
    hematoxylin: float = 1.0
    dab: float = 1.0
    gamma: float = 1.0
    jpeg_quality: int | None = None


def random_change(rng: np.random.Generator) -> Change:
    """Return a change as laboratories and scanners make them: 0.25 to 0.8 µm/px, soft, pale, without DAB."""
    return Change(
        read_um_px=float(rng.choice([0.25, 0.35, 0.5, rng.uniform(0.4, 0.8)])),
        declared=float(np.exp(rng.uniform(np.log(0.8), np.log(1.3)))),
        blur_um=float(rng.choice([0.0, 0.0, rng.uniform(0.2, 0.7)])),
        hematoxylin=float(np.exp(rng.uniform(np.log(0.65), np.log(1.5)))),
        dab=float(rng.choice([1.0, 0.0, rng.uniform(0.2, 1.2)])),
        gamma=float(rng.uniform(0.9, 1.12)),
        jpeg_quality=int(rng.integers(60, 95)) if rng.random() < 0.6 else None,
    )


def change_picture(
    rgb: NDArray[np.uint8], um_px: float, change: Change, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], float]:
    """Return the changed picture and the factor from its pixels to those of the original."""
    factor = max(change.read_um_px / um_px, 1.0)
    height, width = (max(round(side / factor), 64) for side in rgb.shape[:2])
    picture = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    factor = rgb.shape[1] / width
    pixels = picture.reshape(-1, 3)
    brightness = pixels.sum(1)
    glass_rgb = np.median(pixels[brightness >= np.percentile(brightness, 99)], 0)
    glass = (float(glass_rgb[0]), float(glass_rgb[1]), float(glass_rgb[2]))
    stains = replace(QUPATH_H_DAB, background_rgb=glass)
    amounts = unmix(picture, stains)
    amounts[..., 0] *= np.float32(change.hematoxylin)
    # Only what is brown: negative amounts of DAB are blue, and must stay.
    amounts[..., 1] = np.where(amounts[..., 1] > 0, amounts[..., 1] * np.float32(change.dab), amounts[..., 1])
    density = amounts.reshape(-1, 3) @ stains.matrix().astype(np.float32)
    light = np.clip(10 ** -density.reshape(amounts.shape), 0, 1.1) ** np.float32(change.gamma)
    picture = np.clip(light * glass_rgb.astype(np.float32), 0, 255)
    if change.blur_um:
        picture = cv2.GaussianBlur(picture, (0, 0), change.blur_um / (um_px * factor))
    picture = np.rint(picture + rng.normal(0, 1.0, picture.shape)).clip(0, 255).astype(np.uint8)
    if change.jpeg_quality is not None:
        _, packed = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, change.jpeg_quality])
        picture = np.ascontiguousarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1])
    return picture, factor


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
