"""The masks behind the indicators: brown pixels, cells, and closed contours.

Che et al. 2023, sections 2.2 and 2.4 (doi 10.3390/diagnostics13020263). The paper prints no HSV range, no
threshold and no kernel size; those here are settings, chosen by eye on H-DAB images and saved with a result.

Deviations, each for a reason: nuclei are found by their contrast to the surround, since counterstain is pale
and uneven; the stain mask is cleaned by dropping specks instead of an opening, which erases membranes one
pixel wide; cells that touch the patch edge are left out of both ratios, since their contour cannot be seen
to close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, unmix

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "IndicatorSettings",
    "brown_mask",
    "circumferential_cells",
    "extract_cells",
]


@dataclass(frozen=True, slots=True)
class IndicatorSettings:
    """How pixels become the three indicators.

    Attributes
    ----------
    patch_px, pixel_size_um
        512 pixels of 0.5 µm a side, the paper's 20x.
    brown_hue_deg
        (from, to) on the colour circle, through 0°; brown that lies over haematoxylin turns
        reddish, which is why the range starts below 0°.
    brown_saturation_min, brown_value_max
        0..1; paler or brighter pixels are glass or background staining.
    stain_speck_um2
        Smaller brown pieces are dropped.
    stain_close_px
        Kernel diameter of the closing that bridges broken contours; 1 leaves them as they are.
    min_brown_share
        Share of a patch below which it counts as unstained (intensity 0): a few brown specks
        have the depth of a real stain.
    nucleus_od_min, nucleus_contrast_od
        Least haematoxylin optical density (log10) of a nucleus, and least
        excess over its surround.
    surround_um
        Standard deviation of the blur that gives the surround.
    dab_to_nucleus_max
        Where DAB exceeds haematoxylin by this factor, the pixel is membrane.
    nucleus_area_um2
        (least, most) area of a nucleus after splitting.
    nucleus_distance_um
        Least distance of two nucleus centres.
    expansion_um
        Growth of the nucleus to the cell.
    ring_area_um2
        (least, most) area enclosed by a closed contour that is taken for one cell.
    min_tissue_share
        Least share of tissue in a patch.
    """

    patch_px: int = 512
    pixel_size_um: float = 0.5
    brown_hue_deg: tuple[float, float] = (-30.0, 50.0)
    brown_saturation_min: float = 0.07
    brown_value_max: float = 0.92
    stain_speck_um2: float = 2.0
    stain_close_px: int = 5
    min_brown_share: float = 0.005
    nucleus_od_min: float = 0.06
    nucleus_contrast_od: float = 0.02
    surround_um: float = 6.0
    dab_to_nucleus_max: float = 1.5
    nucleus_area_um2: tuple[float, float] = (12.0, 250.0)
    nucleus_distance_um: float = 4.0
    expansion_um: float = 2.0
    ring_area_um2: tuple[float, float] = (10.0, 400.0)
    min_tissue_share: float = 0.25

    def __post_init__(self) -> None:
        for name in ("patch_px", "pixel_size_um", "stain_close_px", "surround_um", "nucleus_distance_um"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be above 0.")
        for name in ("brown_saturation_min", "brown_value_max", "min_brown_share", "min_tissue_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must lie in 0 to 1.")
        for name in ("brown_hue_deg", "nucleus_area_um2", "ring_area_um2"):
            low, high = getattr(self, name)
            if not low < high:
                raise SettingsError(f"{name} is {low} to {high}; the first must be the smaller.")


def brown_mask(rgb: NDArray[np.uint8], settings: IndicatorSettings) -> NDArray[np.bool_]:
    """Return the stained pixels, bool (H, W), by a range of hue, saturation and value, without specks.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    """
    hsv = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2HSV)
    low, high = (round(angle / 2) % 180 for angle in settings.brown_hue_deg)
    hue = hsv[..., 0]
    in_hue = (hue >= low) & (hue <= high) if low <= high else (hue >= low) | (hue <= high)
    brown = (
        in_hue
        & (hsv[..., 1] >= 255 * settings.brown_saturation_min)
        & (hsv[..., 2] <= 255 * settings.brown_value_max)
    )
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(brown.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= settings.stain_speck_um2 / settings.pixel_size_um**2
    large[0] = False
    return np.asarray(large[pieces], bool)


def extract_cells(
    rgb: NDArray[np.uint8], settings: IndicatorSettings, stains: StainVectors = QUPATH_H_DAB
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Find nuclei by colour deconvolution and a distance-transform watershed, and grow them to cells.

    Returns
    -------
    nuclei, cells
        int32 (H, W), 0 = background, the same number for a nucleus and its cell, 1..n without
        gaps.
    """
    density = unmix(rgb, stains)
    haematoxylin, dab = (cv2.GaussianBlur(np.ascontiguousarray(density[..., k]), (0, 0), 1.5) for k in (0, 1))
    around = cv2.GaussianBlur(haematoxylin, (0, 0), settings.surround_um / settings.pixel_size_um)
    blue = (haematoxylin > settings.nucleus_od_min) & (haematoxylin - around > settings.nucleus_contrast_od)
    # A dark membrane leaves some haematoxylin behind when it is unmixed.
    blue &= dab < settings.dab_to_nucleus_max * haematoxylin
    opened = cv2.morphologyEx(blue.astype(np.uint8), cv2.MORPH_OPEN, _disc(3))
    mask = _fill_holes(np.asarray(opened, np.uint8))
    nuclei = _keep_by_area(_split_by_distance(mask, settings), settings)
    return nuclei, _grow(nuclei, settings.expansion_um / settings.pixel_size_um)


def _disc(diameter: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter)), np.uint8)


def _fill_holes(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(mask.copy(), contours, -1, 1, cv2.FILLED), np.uint8)


def _split_by_distance(mask: NDArray[np.uint8], settings: IndicatorSettings) -> NDArray[np.int32]:
    depth = cv2.GaussianBlur(cv2.distanceTransform(mask, cv2.DIST_L2, 5), (0, 0), 1.0)
    reach = max(3, 2 * round(settings.nucleus_distance_um / settings.pixel_size_um) + 1)
    peaks = ((depth >= cv2.dilate(depth, _disc(reach))) & (mask > 0)).astype(np.uint8)
    _, seeds = cv2.connectedComponents(peaks)
    # Flooding by level, deepest first. OpenCV's own watershed goes by colour steps, not by level, and lets
    # the background into the nuclei.
    labels = seeds.astype(np.float32)
    for level in range(int(depth.max()), -1, -1):
        labels = _spread(labels, (depth >= level) & (mask > 0))
    return labels.astype(np.int32)


def _spread(labels: NDArray[np.float32], open_to: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Let labels grow into unlabelled pixels of `open_to` until nothing changes."""
    while True:
        grown = np.where(open_to & (labels == 0), cv2.dilate(labels, _disc(3)), labels)
        if np.array_equal(grown, labels):
            return labels
        labels = grown


def _keep_by_area(labels: NDArray[np.int32], settings: IndicatorSettings) -> NDArray[np.int32]:
    low, high = (area / settings.pixel_size_um**2 for area in settings.nucleus_area_um2)
    area = np.bincount(labels.ravel())
    keep = (area >= low) & (area <= high)
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return number[labels]


def _grow(labels: NDArray[np.int32], radius_px: float) -> NDArray[np.int32]:
    """Give every pixel within `radius_px` of a nucleus to the nearest one."""
    if not labels.any():
        return labels.copy()
    outside = (labels == 0).astype(np.uint8)
    distance, nearest = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(nearest.max()) + 1, np.int32)
    inside = labels > 0
    owner[nearest[inside]] = labels[inside]
    return np.where(distance <= radius_px, owner[nearest], 0).astype(np.int32)


def circumferential_cells(
    brown: NDArray[np.bool_], nuclei: NDArray[np.int32], settings: IndicatorSettings
) -> NDArray[np.bool_]:
    """Tell which nuclei lie inside a closed brown contour of about a cell's size.

    The stain mask is closed, what it encloses is labelled, and a nucleus counts when at least half of its
    pixels that are not brown themselves lie in such a place. A place that reaches the patch edge is open.

    Returns
    -------
    NDArray[np.bool_]
        bool (n + 1,) by nucleus number; entry 0 is the background and False.
    """
    closed = cv2.morphologyEx(brown.astype(np.uint8), cv2.MORPH_CLOSE, _disc(settings.stain_close_px))
    # 4-connected holes: a contour that touches corner to corner holds.
    _, holes, stats, _ = cv2.connectedComponentsWithStats(1 - closed, connectivity=4)
    low, high = (area / settings.pixel_size_um**2 for area in settings.ring_area_um2)
    area = stats[:, cv2.CC_STAT_AREA]
    is_ring = (area >= low) & (area <= high)
    edge = np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])
    is_ring[np.unique(edge)] = False
    is_ring[0] = False
    n_nuclei = int(nuclei.max()) + 1
    free = np.bincount(nuclei[closed == 0], minlength=n_nuclei)
    ringed = np.bincount(nuclei[is_ring[holes]], minlength=n_nuclei)
    inside = (2 * ringed >= free) & (ringed > 0)
    inside[0] = False
    return inside
