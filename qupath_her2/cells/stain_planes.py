"""Stain planes of a tile: unmixed haematoxylin and DAB, and the planes derived from them for nuclei and membranes.

All planes are float32 (H, W) on the working grid (`working_um_px`, about 0.5 µm): coarse enough to be fast, fine enough
for membranes of 0.6 to 2.1 µm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.star_contours import FAST_MATH
from qupath_her2.setting_ranges import Density, Range, check_order, check_settings
from qupath_her2.slides.stains.vectors import StainVectors, unmix

__all__ = ["Plane", "Planes", "PlaneSettings", "blur", "make_planes"]

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """Weights and scales of the derived planes.

    Attributes
    ----------
    hematoxylin_limit_od
        Cap of haematoxylin: pigment and folds must not dwarf pale nuclei.
    dab_half_od
        DAB is compressed as ``d / (1 + d / dab_half_od)``, so that the hole inside a 3+ membrane does not outweigh the
        nucleus in it.
    dab_weight_seed, dab_weight_contour
        Fraction of compressed DAB subtracted from haematoxylin to find nuclei and to outline them: nuclei are holes in
        DAB, which helps where the counterstain is pale.
    contour_blur_um, background_blur_um
        Gaussian sigmas of the nuclear evidence and of its background.
    ridge_blur_um, ridge_radius_um
        Blur and radius of the white top-hat of DAB that shows membranes.
    grey_from_od
        Haematoxylin above this may be grey, and the DAB that grey unmixes into is removed: red blood cells and
        refractile edges absorb all colours alike and unmix as both stains. In one real core without staining 0.8 % of
        the cells were 1+ at 0.10 OD, 0.3 % at 0.08; in one with faint staining 5.9 and 3.5 % (of 24 lost cells looked
        at, 3 were brown); drawn 1+ cells are found as well as before at 0.08, 2 points worse at 0.06.
    """

    hematoxylin_limit_od: Density = 0.6
    dab_half_od: Annotated[float, Range(0.01, 4, "OD")] = 0.35
    dab_weight_seed: Annotated[float, Range(0, 10)] = 0.6
    dab_weight_contour: Annotated[float, Range(0, 10)] = 0.35
    # A blur of 0 µm is no Gaussian.
    contour_blur_um: Annotated[float, Range(0.05, 10, "µm")] = 0.5
    background_blur_um: Annotated[float, Range(0.5, 50, "µm")] = 4.0
    ridge_blur_um: Annotated[float, Range(0.05, 10, "µm")] = 0.3
    ridge_radius_um: Annotated[float, Range(0.25, 10, "µm")] = 1.25
    grey_from_od: Density = 0.08

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "contour_blur_um", "background_blur_um")


#: DAB per haematoxylin into which grey unmixes under QuPath's H-DAB vectors (0.84 and 0.97 of its optical density).
_GREY_DAB = 0.87


@dataclass(frozen=True, slots=True)
class Planes:
    """Planes of one tile, float32 (H, W), optical densities.

    Attributes
    ----------
    hematoxylin
        Unmixed haematoxylin, blurred by `contour_blur_um`.
    dab
        Unmixed DAB without that of grey objects, blurred by `ridge_blur_um`; membranes are measured in it.
    all_dab
        The same with the DAB of grey objects.
    nuclear
        Haematoxylin minus compressed DAB, blurred; its edges outline nuclei.
    nuclear_contrast
        `nuclear` minus its background.
    seed
        Haematoxylin minus compressed DAB with the seed weight, not blurred.
    ridge
        White top-hat of `dab`, >= 0: structures thinner than a cytoplasm.
    um_px
        Pixel size of the working grid, µm.
    """

    hematoxylin: Plane
    dab: Plane
    all_dab: Plane
    nuclear: Plane
    nuclear_contrast: Plane
    seed: Plane
    ridge: Plane
    um_px: float


def blur(plane: Plane, sigma_px: float) -> Plane:
    """Blur by a Gaussian truncated at 3 sigma, so that its reach is bounded and fits the tiles' halo.

    Parameters
    ----------
    plane
        float32 (H, W).
    sigma_px
        > 0, pixels.

    Returns
    -------
    Plane
        float32 (H, W)
    """
    size = 2 * int(np.ceil(3 * sigma_px)) + 1
    blurred = cv2.GaussianBlur(plane, (size, size), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return cast(Plane, blurred)


def wide_blur(plane: Plane, sigma_px: float) -> Plane:
    """Blur by a wide Gaussian at a quarter of the resolution, which is 16 times less work.

    Parameters
    ----------
    plane
        float32 (H, W), of a tile whose origin and size are multiples of 8 pixels, so that quarter-size pixels agree
        between tiles.
    sigma_px
        Pixels of `plane`, at least about 4; below that the quarter-size grid would be too coarse.

    Returns
    -------
    Plane
        float32 (H, W)
    """
    height, width = plane.shape
    small = cv2.resize(plane, (-(-width // 4), -(-height // 4)), interpolation=cv2.INTER_AREA)
    wide = cv2.resize(blur(cast(Plane, small), sigma_px / 4), (width, height), interpolation=cv2.INTER_LINEAR)
    return cast(Plane, wide)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _evidence(
    hematoxylin: Plane, dab: Plane, limit: float, half: float, seed_weight: float, contour_weight: float
) -> tuple[Plane, Plane]:
    """Return the evidence of seeds and of contours: capped haematoxylin minus compressed DAB."""
    height, width = hematoxylin.shape
    seed = np.empty((height, width), np.float32)
    contour = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            # Slightly negative values are noise of glass and pale stroma; strongly negative ones are unmixing errors in
            # deep brown and would look like edges.
            h = min(max(hematoxylin[y, x], -0.05), limit)
            d = max(dab[y, x], 0.0)
            d = d / (1.0 + d / half)
            seed[y, x] = h - seed_weight * d
            contour[y, x] = h - contour_weight * d
    return seed, contour


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _remove_grey_dab(hematoxylin: Plane, dab: Plane, from_od: float, share: float) -> None:
    """Subtract the DAB that grey unmixes into, in place; never below 0."""
    height, width = dab.shape
    for y in range(height):
        for x in range(width):
            h, d = hematoxylin[y, x], dab[y, x]
            if h <= from_od or d <= 0:
                continue
            # At the ratio of grey all of it is removed; from 1.5 times that ratio the pixel is brown and keeps its DAB.
            greyness = min(max(3 - 2 * d / (share * h), 0.0), 1.0)
            dab[y, x] = d - greyness * min(share * (h - from_od), d)


def _opened(plane: Plane, radius_px: float) -> Plane:
    """Open a plane with an octagon of about `radius_px`.

    Alternating 3 x 3 squares and crosses compose the octagon: fast, and symmetric under rotation by 90 degrees, unlike
    OpenCV's 5 x 5 ellipse.
    """
    shapes = [cv2.MORPH_CROSS if k % 2 else cv2.MORPH_RECT for k in range(int(radius_px))]
    opened = plane
    for step in (cv2.erode, cv2.dilate):
        for shape in shapes:
            kernel = cv2.getStructuringElement(shape, (3, 3))
            opened = cast(Plane, step(opened, kernel, borderType=cv2.BORDER_REPLICATE))
    return opened


def make_planes(
    rgb: NDArray[np.uint8], stains: StainVectors, um_px: float, settings: PlaneSettings | None = None
) -> Planes:
    """Unmix a tile and derive its planes.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3) on the working grid.
    stains
        Stain vectors and background of the image.
    um_px
        Pixel size of `rgb`, µm.
    settings
        Weights and scales.

    Returns
    -------
    Planes
        Planes of the tile.
    """
    s = settings or PlaneSettings()
    stain_planes = unmix(rgb, stains)
    # Contiguous copies: kernels and OpenCV read them row by row many times.
    hematoxylin, dab = (np.ascontiguousarray(stain_planes[..., k]) for k in (0, 1))
    seed, contour = _evidence(
        hematoxylin, dab, s.hematoxylin_limit_od, s.dab_half_od, s.dab_weight_seed, s.dab_weight_contour
    )
    # DAB counts less here than for seeds: the more it counts, the more a contour is drawn from the edge of the nucleus
    # to the inner side of the membrane.
    nuclear = blur(contour, s.contour_blur_um / um_px)
    # Kept before grey is removed: the detector recognises red blood cells by this DAB.
    all_dab = blur(dab, s.ridge_blur_um / um_px)
    _remove_grey_dab(hematoxylin, dab, s.grey_from_od, _GREY_DAB)
    fine_dab = blur(dab, s.ridge_blur_um / um_px)
    # White top-hat: opening removes what is thinner than the octagon, so the difference keeps membranes and drops the
    # diffuse DAB of the cytoplasm.
    ridge = fine_dab - _opened(fine_dab, s.ridge_radius_um / um_px)
    return Planes(
        hematoxylin=blur(hematoxylin, s.contour_blur_um / um_px),
        dab=fine_dab,
        all_dab=all_dab,
        nuclear=nuclear,
        nuclear_contrast=nuclear - wide_blur(contour, s.background_blur_um / um_px),
        seed=seed,
        ridge=ridge,
        um_px=um_px,
    )
