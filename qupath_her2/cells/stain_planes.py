"""Stain planes of a tile and what the detector and the membrane rays look at in them.

All planes are float32 (H, W) on the working grid (`working_um_px`, about 0.5 µm): coarse enough to be fast, fine
enough for a membrane of 0.6 to 2.1 µm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.star_contours import FAST_MATH
from qupath_her2.slides.stains.vectors import StainVectors, unmix

__all__ = ["Plane", "Planes", "PlaneSettings", "blur", "make_planes"]

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """How the stains are weighed against each other.

    Attributes
    ----------
    hematoxylin_limit_od
        Haematoxylin above this counts as this: pigment and folds must not drown pale nuclei.
    dab_half_od
        DAB is compressed as ``d / (1 + d / dab_half_od)``: the hole inside a 3+ ring must not outweigh
        the nucleus that fills it.
    dab_weight_seed, dab_weight_contour
        Share of compressed DAB subtracted from haematoxylin to find nuclei
        and to outline them ("DAB hole": a nucleus is where DAB is not).
    contour_blur_um, background_blur_um
        Gaussian sigmas of the narrow and the wide view for the contour.
    ridge_blur_um, ridge_radius_um
        The white top-hat of DAB that follows membranes.
    grey_from_od
        Haematoxylin beyond this may be grey, and what DAB goes with grey is taken off: red cells and
        refractile edges absorb all colours alike and unmix as both stains.
    """

    hematoxylin_limit_od: float = 0.6
    dab_half_od: float = 0.35
    dab_weight_seed: float = 0.6
    dab_weight_contour: float = 0.35
    contour_blur_um: float = 0.5
    background_blur_um: float = 4.0
    ridge_blur_um: float = 0.3
    ridge_radius_um: float = 1.25
    grey_from_od: float = 0.10


#: DAB per haematoxylin that grey unmixes into under QuPath's H-DAB vectors (0.84 and 0.97 of its optical density).
_GREY_DAB = 0.87


@dataclass(frozen=True, slots=True)
class Planes:
    """The planes of one tile, float32 (H, W) optical densities unless said.

    `hematoxylin`, `all_dab` : unmixed and lightly blurred; `dab` : the same without the DAB of grey, for membranes.
    `nuclear` : haematoxylin less compressed DAB, narrow blur; its steps outline nuclei.
    `nuclear_contrast` : the same less its wide blur.
    `seed` : haematoxylin less compressed DAB with the seed weight, unblurred.
    `ridge` : white top-hat of DAB, >= 0: what is thinner than a cytoplasm.
    `um_px` : the pixel size of the working grid.
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
    """Blur by a Gaussian whose kernel is cut at 3 sigma, so that its reach is known to the tiling.

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
    """Blur by a wide Gaussian at a quarter of the resolution.

    Parameters
    ----------
    plane
        float32 (H, W) of a tile whose origin and size are multiples of 8 pixels, so that quarters agree
        between tiles.
    sigma_px
        In pixels of `plane`, at least about 4.

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
    height, width = hematoxylin.shape
    seed = np.empty((height, width), np.float32)
    contour = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            h = min(max(hematoxylin[y, x], -0.05), limit)
            d = max(dab[y, x], 0.0)
            d = d / (1.0 + d / half)
            seed[y, x] = h - seed_weight * d
            contour[y, x] = h - contour_weight * d
    return seed, contour


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _remove_grey_dab(hematoxylin: Plane, dab: Plane, from_od: float, share: float) -> None:
    """Take the DAB of grey off, in place; DAB never falls below 0 by it."""
    height, width = dab.shape
    for y in range(height):
        for x in range(width):
            h, d = hematoxylin[y, x], dab[y, x]
            if h <= from_od or d <= 0:
                continue
            # Grey has just so much DAB; from half as much again on, the pixel is brown and keeps all of it.
            greyness = min(max(3 - 2 * d / (share * h), 0.0), 1.0)
            dab[y, x] = d - greyness * min(share * (h - from_od), d)


def _opened(plane: Plane, radius_px: float) -> Plane:
    """Open a plane by an octagon of about `radius_px`.

    Crosses and squares in turn make the octagon: quick, and the same when the picture is turned, which OpenCV's
    ellipse of 5 x 5 is not.
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
        Vectors and background.
    um_px
        Pixel size of `rgb`, µm.
    settings
        Weights and scales.
    """
    s = settings or PlaneSettings()
    stain_planes = unmix(rgb, stains)
    hematoxylin, dab = (np.ascontiguousarray(stain_planes[..., k]) for k in (0, 1))
    seed, contour = _evidence(
        hematoxylin, dab, s.hematoxylin_limit_od, s.dab_half_od, s.dab_weight_seed, s.dab_weight_contour
    )
    nuclear = blur(contour, s.contour_blur_um / um_px)
    all_dab = blur(dab, s.ridge_blur_um / um_px)
    _remove_grey_dab(hematoxylin, dab, s.grey_from_od, _GREY_DAB)
    fine_dab = blur(dab, s.ridge_blur_um / um_px)
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
