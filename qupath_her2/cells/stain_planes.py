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
from qupath_her2.slides.stains.vectors import StainVectors, stain_tables

__all__ = ["Plane", "Planes", "PlaneSettings", "blur", "make_planes", "summed_colours", "unmixed"]

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


def blur(plane: Plane, sigma_px: float, into: Plane | None = None) -> Plane:
    """Blur by a Gaussian truncated at 3 sigma, so that its reach is bounded and fits the tiles' halo.

    Parameters
    ----------
    plane
        float32 (H, W).
    sigma_px
        > 0, pixels.
    into
        float32 (H, W), another plane to overwrite; None for a new one.

    Returns
    -------
    Plane
        float32 (H, W)
    """
    size = 2 * int(np.ceil(3 * sigma_px)) + 1
    blurred = cv2.GaussianBlur(plane, (size, size), sigma_px, into, borderType=cv2.BORDER_REPLICATE)
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
def summed_colours(rgb: NDArray[np.uint8], tables: NDArray[np.float32]) -> Plane:
    """Sum what each pixel's red, green and blue stand for.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    tables
        float32 (3, 256), what each value of a colour stands for.

    Returns
    -------
    Plane
        float32 (H, W)
    """
    height, width, _ = rgb.shape
    found = np.empty((height, width), np.float32)
    for y in range(height):
        row, line = rgb[y], found[y]
        for x in range(width):
            line[x] = tables[0, row[x, 0]] + tables[1, row[x, 1]] + tables[2, row[x, 2]]
    return found


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _unmixed_row(
    row: NDArray[np.uint8],
    tables: NDArray[np.float32],
    hematoxylin: NDArray[np.float32],
    dab: NDArray[np.float32],
) -> None:
    """Fill a row of haematoxylin and of DAB, by `stain_tables`."""
    for x in range(len(row)):
        red, green, blue = tables[0, row[x, 0]], tables[1, row[x, 1]], tables[2, row[x, 2]]
        hematoxylin[x] = red[0] + green[0] + blue[0]
        dab[x] = red[1] + green[1] + blue[1]


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def unmixed(rgb: NDArray[np.uint8], tables: NDArray[np.float32]) -> tuple[Plane, Plane]:
    """Return haematoxylin and DAB.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    tables
        From `stain_tables`.

    Returns
    -------
    tuple[Plane, Plane]
        float32 (H, W) twice, OD.
    """
    hematoxylin, dab = np.empty(rgb.shape[:2], np.float32), np.empty(rgb.shape[:2], np.float32)
    for y in range(len(rgb)):
        _unmixed_row(rgb[y], tables, hematoxylin[y], dab[y])
    return hematoxylin, dab


# Errors as in numpy: a check for a divisor of 0 would be a branch.
@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH, error_model="numpy")
def _fill_sharp_planes(
    rgb: NDArray[np.uint8],
    tables: NDArray[np.float32],
    weights: NDArray[np.float32],
    grey: NDArray[np.float32],
    planes: tuple[Plane, Plane, Plane, Plane, Plane],
) -> None:
    """Fill the planes: haematoxylin, DAB with and without that of grey, evidence of seeds and of contours.

    `weights` are the cap of haematoxylin, the half of DAB, and its weights in both kinds of evidence; `grey` from which
    haematoxylin on a pixel may be grey, and the DAB of grey per haematoxylin.
    """
    hematoxylin, all_dab, dab, seed, contour = planes
    limit, half, seed_weight, contour_weight = weights
    from_od, share = grey
    none, one = np.float32(0), np.float32(1)
    for y in range(len(rgb)):
        h_row, d_row, seeds, contours, brown = hematoxylin[y], all_dab[y], seed[y], contour[y], dab[y]
        _unmixed_row(rgb[y], tables, h_row, d_row)
        # All planes of a row while it is in the cache, in loops without branches and of few arrays: only these are
        # vectorised.
        for x in range(len(h_row)):
            # Slightly negative values are noise of glass and pale stroma; strongly negative ones are unmixing errors in
            # deep brown and would look like edges.
            blue, stain = min(max(h_row[x], np.float32(-0.05)), limit), max(d_row[x], none)
            stain = stain / (one + stain / half)
            seeds[x] = blue - seed_weight * stain
            contours[x] = blue - contour_weight * stain
        for x in range(len(h_row)):
            h, d = h_row[x], d_row[x]
            # At the ratio of grey all DAB is removed; from 1.5 times that ratio the pixel is brown and keeps it.
            greyness = min(max(np.float32(3) - np.float32(2) * d / (share * h), none), one)
            removed = greyness * min(share * (h - from_od), d)
            brown[x] = d - removed if (h > from_od) & (d > 0) else d


def _top_hat(plane: Plane, radius_px: float, into: Plane) -> Plane:
    """Return what opening a plane with an octagon of about `radius_px` removes, in the place of `into`.

    Alternating 3 x 3 squares and crosses compose the octagon: fast, and symmetric under rotation by 90 degrees, unlike
    OpenCV's 5 x 5 ellipse.
    """
    shapes = [cv2.MORPH_CROSS if k % 2 else cv2.MORPH_RECT for k in range(int(radius_px))]
    opened = plane
    for step in (cv2.erode, cv2.dilate):
        for shape in shapes:
            kernel = cv2.getStructuringElement(shape, (3, 3))
            opened = cast(Plane, step(opened, kernel, into, borderType=cv2.BORDER_REPLICATE))
    return np.subtract(plane, opened, out=into)


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
    # Allocated by numpy, which asks for large pages: what compiled code allocates takes longer to touch than to fill.
    hematoxylin, all_dab, dab, seed, contour = (np.empty(rgb.shape[:2], np.float32) for _ in range(5))
    _fill_sharp_planes(
        np.ascontiguousarray(rgb),
        stain_tables(stains),
        np.array(
            [s.hematoxylin_limit_od, s.dab_half_od, s.dab_weight_seed, s.dab_weight_contour], np.float32
        ),
        np.array([s.grey_from_od, _GREY_DAB], np.float32),
        (hematoxylin, all_dab, dab, seed, contour),
    )
    # DAB counts less here than for seeds: the more it counts, the more a contour is drawn from the edge of the nucleus
    # to the inner side of the membrane.
    nuclear = blur(contour, s.contour_blur_um / um_px)
    background = wide_blur(contour, s.background_blur_um / um_px)
    # Each plane from here on takes the place of one that is no longer needed: less memory, and less time to touch it.
    fine_dab = blur(dab, s.ridge_blur_um / um_px, into=contour)
    blurred_dab = blur(all_dab, s.ridge_blur_um / um_px, into=dab)
    blurred_hematoxylin = blur(hematoxylin, s.contour_blur_um / um_px, into=all_dab)
    # White top-hat: opening removes what is thinner than the octagon, so the difference keeps membranes and drops the
    # diffuse DAB of the cytoplasm.
    ridge = _top_hat(fine_dab, s.ridge_radius_um / um_px, into=hematoxylin)
    return Planes(
        hematoxylin=blurred_hematoxylin,
        dab=fine_dab,
        # With the DAB of grey: the detector recognises red blood cells by it.
        all_dab=blurred_dab,
        nuclear=nuclear,
        nuclear_contrast=np.subtract(nuclear, background, out=background),
        seed=seed,
        ridge=ridge,
        um_px=um_px,
    )
