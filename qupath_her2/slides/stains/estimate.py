"""Estimation of stain vectors and background colour from haematoxylin-DAB images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.setting_ranges import Density, Percent, Range, Share, check_order, check_settings
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, Vector, unit_vector

__all__ = [
    "StainDirections",
    "StainEstimateSettings",
    "accepted_vectors",
    "angle_deg",
    "estimate_background",
    "estimate_stains",
    "stain_directions",
]

#: With fewer glass pixels the background colour is not estimated; QuPath's default of 255 is used.
_MIN_GLASS_PIXELS = 200

#: The second pass moves a vector by at most 1° if the first found DAB at all; a third pass changes nothing.
_PASSES = 2


def estimate_background(rgb_thumbnail: NDArray[np.uint8], tissue_mask: NDArray[np.bool_]) -> Vector:
    """Return the colour of empty glass: the per-channel median of bright pixels away from tissue.

    Parameters
    ----------
    rgb_thumbnail
        uint8 (H, W, 3).
    tissue_mask
        bool (H, W), True on tissue. A margin of 2 thumbnail pixels around it is left out too.

    Returns
    -------
    Vector
        Red, green, blue in (0, 255]; (255, 255, 255), QuPath's default, if fewer than 200 glass pixels remain.
    """
    # Thumbnail pixels beside tissue are averages of tissue and glass.
    near = cv2.dilate(tissue_mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    glass = rgb_thumbnail[~near]
    # Pen marks, edges of air bubbles and the slide holder are darker than any white point a scanner calibrates to.
    glass = glass[glass.min(axis=1) >= 170]
    if len(glass) < _MIN_GLASS_PIXELS:
        return QUPATH_H_DAB.background_rgb
    red, green, blue = (float(v) for v in np.median(glass, axis=0))
    return (red, green, blue)


@dataclass(frozen=True, slots=True)
class StainEstimateSettings:
    """Settings and acceptance limits of the stain estimation.

    Attributes
    ----------
    min_density
        Shortest OD vector of a pixel whose colour is used, OD.
    max_density
        OD of any channel above which a pixel is left out: dense DAB does not follow Beer-Lambert, and 8-bit colour is
        coarse there.
    hematoxylin_percentile
        Share of pixels, at the blue end of the angle between the stains, that define haematoxylin, %.
    dab_dense_percentile, dab_angle_percentile
        DAB is defined by the brown pixels above the first percentile of density, and among those by the ones above the
        second percentile of the angle, %.
    min_dab_share
        Smallest share of brown pixels among stained pixels for which DAB is estimated.
    dab_density
        DAB OD above which a pixel counts as brown.
    max_hematoxylin_deviation_deg, max_dab_deviation_deg
        Largest accepted angle between an estimate and QuPath's default, degrees. Four real cores lie within 7; many
        drawn fields with reagents of other makes lie beyond 12, where the default did more harm than the estimate
        (class shares up to 27 points off). Eosin lies 19 from DAB.
    min_separation_deg
        Smallest accepted angle between the two estimates, degrees; QuPath's defaults are 37 apart. Closer vectors
        cannot be unmixed reliably.
    max_member_deviation_deg
        Largest accepted angle between an image's own vectors and those of its group, degrees; beyond it the image
        leaves the group. Own estimates of one laboratory's images lie within 7 of their median (12 real pictures of
        three sources, cores and fields), those of another laboratory 13 to 20 away.
    min_pixels
        Fewest stained pixels for an estimate.
    """

    min_density: Density = 0.15
    max_density: Density = 1.2
    hematoxylin_percentile: Percent = 2.0
    dab_dense_percentile: Percent = 40.0
    dab_angle_percentile: Percent = 80.0
    min_dab_share: Share = 0.05
    dab_density: Density = 0.25
    # No two colours of positive density are further apart than 90 degrees.
    max_hematoxylin_deviation_deg: Annotated[float, Range(0, 90, "degrees")] = 20.0
    max_dab_deviation_deg: Annotated[float, Range(0, 90, "degrees")] = 18.0
    min_separation_deg: Annotated[float, Range(0, 90, "degrees")] = 15.0
    max_member_deviation_deg: Annotated[float, Range(1, 90, "degrees")] = 10.0
    min_pixels: Annotated[int, Range(100, 100_000_000, "pixels")] = 5_000

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "min_density", "max_density")


@dataclass(frozen=True, slots=True)
class StainDirections:
    """Stain directions found in the tissue pixels of one image or of several, before they are accepted or not.

    Attributes
    ----------
    hematoxylin
        Unit vector of optical density, R, G, B; None with too few stained pixels.
    dab
        Likewise; None where DAB is scarce.
    dab_share
        Share of brown pixels among stained pixels, 0..1.
    n_pixels
        Stained pixels.
    """

    hematoxylin: Vector | None
    dab: Vector | None
    dab_share: float
    n_pixels: int


def stain_directions(
    od_pixels: NDArray[np.float32], settings: StainEstimateSettings | None = None
) -> StainDirections:
    """Find the directions of haematoxylin and DAB in tissue pixels.

    Pixels are ranked by their angle from haematoxylin to DAB in the plane of QuPath's default vectors, then again in
    the plane of the vectors found; each stain is the median direction, in all three channels, of the pixels at its end.
    DAB is estimated from dense brown pixels only: thin DAB is yellower than thick DAB, and the extreme angles of all
    brown pixels gave a vector 12° off on a real 3+ core, with which every dark membrane seemed to hold haematoxylin.

    This is not Macenko's SVD, which returns the two widest directions whatever they are: without DAB it calls grey
    "DAB".

    Parameters
    ----------
    od_pixels
        float32 (N, 3), optical density of tissue pixels against the background of their own image.
    settings
        Settings and acceptance limits.

    Returns
    -------
    StainDirections
        Of these pixels alone.
    """
    s = settings or StainEstimateSettings()
    od = np.asarray(od_pixels, dtype=np.float32).reshape(-1, 3)
    length = np.linalg.norm(od, axis=1)
    usable = np.isfinite(length) & (length >= s.min_density) & (od.max(axis=1) <= s.max_density)
    od, length = od[usable], length[usable]
    if len(od) < s.min_pixels:
        return StainDirections(None, None, 0.0, len(od))
    hematoxylin, dab, dab_share = QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab, 0.0
    # Brown pixels are selected again with the vectors found: with QuPath's, DAB of another make may not count as brown.
    for _ in range(_PASSES):
        hematoxylin, dab, dab_share = _directions(od, length, StainVectors(hematoxylin, dab), s)
    is_scarce = dab_share == 0 or dab_share < s.min_dab_share
    return StainDirections(hematoxylin, None if is_scarce else dab, dab_share, len(od))


def accepted_vectors(
    found: StainDirections,
    *,
    background_rgb: tuple[float, float, float] = (255.0, 255.0, 255.0),
    settings: StainEstimateSettings | None = None,
    source: str = "",
) -> StainVectors:
    """Return directions as stain vectors, or QuPath's defaults where they are no plausible haematoxylin and DAB.

    Haematoxylin alone is not taken where DAB is scarce: combined with QuPath's DAB, a haematoxylin vector that leans
    towards DAB hides what DAB there is (drawn fields of 1+ were read as 0).

    Parameters
    ----------
    found
        Directions of one image or of a group.
    background_rgb
        Background colour for the result, (0, 255] per channel.
    settings
        Acceptance limits.
    source
        Origin in words, for the vectors' `source` where they are accepted.

    Returns
    -------
    StainVectors
        `source` says where they come from, and why they are the defaults.
    """
    s = settings or StainEstimateSettings()
    background = cast(Vector, tuple(float(v) for v in background_rgb))
    if found.hematoxylin is None:
        return _defaults(background, f"{found.n_pixels} stained pixels, fewer than {s.min_pixels}")
    if found.dab is None:
        off = angle_deg(found.hematoxylin, QUPATH_H_DAB.hematoxylin)
        scarce = f"DAB in {100 * found.dab_share:.1f} % of stained pixels, under {100 * s.min_dab_share:g} %"
        return _defaults(background, f"{scarce}; haematoxylin about {off:.0f}° from QuPath's")
    for name, direction, expected, limit in (
        ("haematoxylin", found.hematoxylin, QUPATH_H_DAB.hematoxylin, s.max_hematoxylin_deviation_deg),
        ("DAB", found.dab, QUPATH_H_DAB.dab, s.max_dab_deviation_deg),
    ):
        off = angle_deg(direction, expected)
        if off > limit:
            return _defaults(background, f"{name} estimate {off:.0f}° from QuPath's, over {limit:g}°")
    apart = angle_deg(found.hematoxylin, found.dab)
    if apart < s.min_separation_deg:
        return _defaults(background, f"estimates {apart:.0f}° apart, under {s.min_separation_deg:g}°")
    source = source or f"estimate over {found.n_pixels} stained pixels"
    return StainVectors(found.hematoxylin, found.dab, background, source)


def estimate_stains(
    od_pixels: NDArray[np.float32],
    *,
    background_rgb: tuple[float, float, float] = (255.0, 255.0, 255.0),
    settings: StainEstimateSettings | None = None,
) -> StainVectors:
    """Estimate the stain vectors of one image from its tissue pixels.

    An image that may hold no DAB is better scored with the vectors of its group (`slides.stains.groups`): with its own,
    false 1+ rose from 0.3 % to 4.5 % of cells on real cores labelled 0.

    Parameters
    ----------
    od_pixels
        float32 (N, 3), optical density of tissue pixels against the background of their own image.
    background_rgb
        Background colour for the result, (0, 255] per channel; not used in the estimation.
    settings
        Settings and acceptance limits.

    Returns
    -------
    StainVectors
        The estimate, or QuPath's defaults if DAB is scarce or a vector is implausible; `source` says which and why.
    """
    return accepted_vectors(
        stain_directions(od_pixels, settings), background_rgb=background_rgb, settings=settings
    )


def _directions(
    od: NDArray[np.float32], length: NDArray[np.float32], start: StainVectors, s: StainEstimateSettings
) -> tuple[Vector, Vector, float]:
    """Return haematoxylin, DAB (that of `start` if DAB is scarce) and the share of brown pixels, 0..1."""
    # Rows of the matrix are stains (od = amounts @ matrix), so the inverse is applied from the right.
    amounts = od @ np.linalg.inv(start.matrix()).astype(np.float32)
    brown = (amounts[:, 1] >= s.dab_density) & (amounts[:, 1] > amounts[:, 0])
    angle = np.arctan2(amounts[:, 1], amounts[:, 0])
    # Unit vectors, so that dense pixels do not outweigh pale ones in the median.
    direction = od / length[:, None]
    blue = angle <= np.percentile(angle, s.hematoxylin_percentile)
    hematoxylin = unit_vector(tuple(np.median(direction[blue], axis=0)), "hematoxylin")
    if not brown.any() or brown.mean() < s.min_dab_share:
        return hematoxylin, start.dab, float(brown.mean())
    dense = brown & (length >= np.percentile(length[brown], s.dab_dense_percentile))
    pure = dense & (angle >= np.percentile(angle[dense], s.dab_angle_percentile))
    return hematoxylin, unit_vector(tuple(np.median(direction[pure], axis=0)), "dab"), float(brown.mean())


def angle_deg(one: Vector, other: Vector) -> float:
    """Return the angle between two unit vectors, degrees."""
    # Rounding may lift the product of two equal unit vectors above 1.
    return math.degrees(math.acos(min(1.0, float(np.dot(one, other)))))


def _defaults(background: Vector, why: str) -> StainVectors:
    return StainVectors(
        QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab, background, f"{QUPATH_H_DAB.source} ({why})"
    )
