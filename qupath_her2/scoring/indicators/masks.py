"""Masks behind the indicators: brown pixels, nuclei and cells, closed membrane contours.

Che et al. 2023, sections 2.2 and 2.4 (doi 10.3390/diagnostics13020263). The paper gives no HSV range, no
threshold and no kernel size; those here are settings, chosen by eye on H-DAB images and saved with each result.

Deviations, with reasons: nuclei are found by contrast to their surroundings, because counterstain is pale and
uneven; the stain mask is cleaned by removing specks instead of an opening, which would erase membranes one pixel
wide; cells that touch the patch edge are left out of both ratios, because their contour cannot be seen to close.

The watershed is scikit-image's. Hole filling, label expansion and speck removal stay with OpenCV, which gives the
same holes and specks: scipy's `binary_fill_holes` and scikit-image's `expand_labels` take three times as long, and
`remove_small_objects` is no faster and has renamed its size argument between the versions we support.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import cv2
import numpy as np

from qupath_her2.errors import SettingsError
from qupath_her2.setting_ranges import Density, Range, Share, check_settings
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
    """Settings that turn the pixels of a patch into the three indicators.

    Attributes
    ----------
    patch_px, pixel_size_um
        Patch side in pixels and pixel size in µm: 512 px of 0.5 µm, the paper's 20x.
    brown_hue_deg
        (from, to) in degrees, through 0°. The range starts below 0° because DAB over haematoxylin looks
        reddish.
    brown_saturation_min, brown_value_max
        Paler or brighter pixels are glass or background staining.
    stain_speck_um2
        Brown components smaller than this area are removed.
    stain_close_px
        Kernel diameter of the closing that bridges gaps in contours; 1 switches it off.
    min_brown_share
        Share of brown pixels below which a patch counts as unstained (intensity 0): a few brown specks
        can be as dark as real staining.
    nucleus_od_min, nucleus_contrast_od
        Minimum haematoxylin optical density (log10) of a nucleus, and minimum excess over its surroundings.
    surround_um
        Standard deviation in µm of the Gaussian blur that estimates the surroundings.
    dab_to_nucleus_max
        Pixels where DAB exceeds haematoxylin by this factor are membrane, not nucleus.
    nucleus_area_um2
        (minimum, maximum) area of a nucleus after splitting.
    nucleus_distance_um
        Minimum distance between nucleus centres.
    expansion_um
        Distance by which a nucleus is expanded to its cell.
    ring_area_um2
        (minimum, maximum) area enclosed by a closed contour around one cell.
    min_tissue_share
        Minimum share of tissue in a patch.
    """

    patch_px: Annotated[int, Range(16, 16_384, "px")] = 512
    pixel_size_um: Annotated[float, Range(0.05, 10, "µm")] = 0.5
    brown_hue_deg: Annotated[tuple[float, float], Range(-180, 360, "degrees")] = (-30.0, 50.0)
    brown_saturation_min: Share = 0.07
    brown_value_max: Share = 0.92
    stain_speck_um2: Annotated[float, Range(0, 1000, "µm²")] = 2.0
    stain_close_px: Annotated[int, Range(1, 101, "px")] = 5
    min_brown_share: Share = 0.005
    nucleus_od_min: Density = 0.06
    nucleus_contrast_od: Density = 0.02
    surround_um: Annotated[float, Range(0, 100, "µm", is_open="low")] = 6.0
    dab_to_nucleus_max: Annotated[float, Range(0, 100, is_open="low")] = 1.5
    nucleus_area_um2: Annotated[tuple[float, float], Range(0, 5000, "µm²")] = (12.0, 250.0)
    nucleus_distance_um: Annotated[float, Range(0, 50, "µm", is_open="low")] = 4.0
    expansion_um: Annotated[float, Range(0, 20, "µm")] = 2.0
    ring_area_um2: Annotated[tuple[float, float], Range(0, 10_000, "µm²")] = (10.0, 400.0)
    min_tissue_share: Share = 0.25

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("brown_hue_deg", "nucleus_area_um2", "ring_area_um2"):
            low, high = getattr(self, name)
            if not low < high:
                raise SettingsError(
                    f"{name} is {low} to {high}; the first value must be smaller than the second."
                )


def brown_mask(rgb: NDArray[np.uint8], settings: IndicatorSettings) -> NDArray[np.bool_]:
    """Return the DAB-stained pixels by hue, saturation and value, without specks.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3) at `settings.pixel_size_um`.
    settings
        HSV ranges and the minimum area of a component.

    Returns
    -------
    NDArray[np.bool_]
        bool (H, W).
    """
    # OpenCV stores hue as 0..179, half of the degrees.
    hsv = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2HSV)
    low, high = (round(angle / 2) % 180 for angle in settings.brown_hue_deg)
    hue = hsv[..., 0]
    # A range that starts below 0° wraps around the hue circle.
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
    """Segment nuclei by colour deconvolution and watershed, and expand them to cells.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3) at `settings.pixel_size_um`.
    settings
        Thresholds, areas and distances.
    stains
        Stain vectors of the slide.

    Returns
    -------
    nuclei, cells
        int32 (H, W) labels, 0 = background; a nucleus and its cell share a number, 1..n without gaps.
    """
    density = unmix(rgb, stains)
    # 1.5 px smooths chromatin texture, or a nucleus breaks into its clumps.
    haematoxylin, dab = (cv2.GaussianBlur(np.ascontiguousarray(density[..., k]), (0, 0), 1.5) for k in (0, 1))
    around = cv2.GaussianBlur(haematoxylin, (0, 0), settings.surround_um / settings.pixel_size_um)
    blue = (haematoxylin > settings.nucleus_od_min) & (haematoxylin - around > settings.nucleus_contrast_od)
    # Colour deconvolution leaves some haematoxylin in dark DAB membranes.
    blue &= dab < settings.dab_to_nucleus_max * haematoxylin
    opened = cv2.morphologyEx(blue.astype(np.uint8), cv2.MORPH_OPEN, _disc(3))
    mask = _fill_holes(np.asarray(opened, np.uint8))
    nuclei = _filter_by_area(_split_nuclei(mask, settings), settings)
    return nuclei, _expand(nuclei, settings.expansion_um / settings.pixel_size_um)


def _disc(diameter: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter)), np.uint8)


def _fill_holes(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(mask.copy(), contours, -1, 1, cv2.FILLED), np.uint8)


def _split_nuclei(mask: NDArray[np.uint8], settings: IndicatorSettings) -> NDArray[np.int32]:
    """Label nuclei by a watershed of the distance transform, which splits touching ones at their waist."""
    # Imported here: `config` loads this module for its settings, and scoring by cells needs no scikit-image.
    from skimage.segmentation import watershed

    # Smoothing removes the small maxima that a ragged outline gives the distance transform.
    depth = cv2.GaussianBlur(cv2.distanceTransform(mask, cv2.DIST_L2, 5), (0, 0), 1.0)
    reach = max(3, 2 * round(settings.nucleus_distance_um / settings.pixel_size_um) + 1)
    peaks = ((depth >= cv2.dilate(depth, _disc(reach))) & (mask > 0)).astype(np.uint8)
    _, seeds = cv2.connectedComponents(peaks)
    # Not cv2.watershed: it floods by colour steps instead of level and lets the background into the nuclei.
    return np.asarray(watershed(-depth, seeds, mask=mask > 0), np.int32)


def _filter_by_area(labels: NDArray[np.int32], settings: IndicatorSettings) -> NDArray[np.int32]:
    low, high = (area / settings.pixel_size_um**2 for area in settings.nucleus_area_um2)
    area = np.bincount(labels.ravel())
    keep = (area >= low) & (area <= high)
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return number[labels]


def _expand(labels: NDArray[np.int32], radius_px: float) -> NDArray[np.int32]:
    """Assign every pixel within `radius_px` of a nucleus to the nearest nucleus."""
    if not labels.any():
        return labels.copy()
    outside = (labels == 0).astype(np.uint8)
    distance, nearest = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the nearest nucleus *pixel*; the table turns that number into the label of its nucleus.
    owner = np.zeros(int(nearest.max()) + 1, np.int32)
    inside = labels > 0
    owner[nearest[inside]] = labels[inside]
    return np.where(distance <= radius_px, owner[nearest], 0).astype(np.int32)


def circumferential_cells(
    brown: NDArray[np.bool_], nuclei: NDArray[np.int32], settings: IndicatorSettings
) -> NDArray[np.bool_]:
    """Tell which nuclei lie inside a closed brown contour of about the size of a cell.

    The stain mask is closed and its holes are labelled. A nucleus counts if at least half of its pixels outside
    the stain lie in holes of cell size. A hole that reaches the patch edge is open.

    Parameters
    ----------
    brown
        bool (H, W), from `brown_mask`.
    nuclei
        int32 (H, W) labels, from `extract_cells`.
    settings
        Closing diameter and area range of a contour.

    Returns
    -------
    NDArray[np.bool_]
        bool (n + 1,) by nucleus number; entry 0 is the background and False.
    """
    closed = cv2.morphologyEx(brown.astype(np.uint8), cv2.MORPH_CLOSE, _disc(settings.stain_close_px))
    # Holes are 4-connected, so a contour whose pixels touch only at corners still closes.
    _, holes, stats, _ = cv2.connectedComponentsWithStats(1 - closed, connectivity=4)
    low, high = (area / settings.pixel_size_um**2 for area in settings.ring_area_um2)
    area = stats[:, cv2.CC_STAT_AREA]
    is_ring = (area >= low) & (area <= high)
    edge = np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])
    is_ring[np.unique(edge)] = False
    is_ring[0] = False
    n_nuclei = int(nuclei.max()) + 1
    # Pixels of the nucleus under the stain lie in no hole and say nothing about the contour.
    free = np.bincount(nuclei[closed == 0], minlength=n_nuclei)
    ringed = np.bincount(nuclei[is_ring[holes]], minlength=n_nuclei)
    inside = (2 * ringed >= free) & (ringed > 0)
    inside[0] = False
    return inside
