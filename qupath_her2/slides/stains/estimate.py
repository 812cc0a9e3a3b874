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

__all__ = ["StainEstimateSettings", "estimate_background", "estimate_stains"]

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
    min_pixels: Annotated[int, Range(100, 100_000_000, "pixels")] = 5_000

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "min_density", "max_density")


def estimate_stains(
    od_pixels: NDArray[np.float32],
    *,
    background_rgb: tuple[float, float, float] = (255.0, 255.0, 255.0),
    settings: StainEstimateSettings | None = None,
) -> StainVectors:
    """Estimate one pair of stain vectors from tissue pixels pooled over all images of one scanner and stain.

    Pixels are ranked by their angle from haematoxylin to DAB in the plane of QuPath's default vectors, then again in
    the plane of the vectors found; each stain is the median direction, in all three channels, of the pixels at its end.
    DAB is estimated from dense brown pixels only: thin DAB is yellower than thick DAB, and the extreme angles of all
    brown pixels gave a vector 12° off on a real 3+ core, with which every dark membrane seemed to hold haematoxylin.

    This is not Macenko's SVD, which returns the two widest directions whatever they are: without DAB it calls grey
    "DAB". For the same reason never pass a single patch, or a single image that may hold no DAB: in a prototype on real
    cores labelled 0, false 1+ rose from 0.3 % to 4.5 % of cells. Nor is haematoxylin alone estimated where DAB is
    scarce: combined with QuPath's DAB, a haematoxylin vector that leans towards DAB hides what DAB there is (drawn
    fields of 1+ were read as 0).

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
    s = settings or StainEstimateSettings()
    background = cast(Vector, tuple(float(v) for v in background_rgb))
    od = np.asarray(od_pixels, dtype=np.float32).reshape(-1, 3)
    length = np.linalg.norm(od, axis=1)
    usable = np.isfinite(length) & (length >= s.min_density) & (od.max(axis=1) <= s.max_density)
    od, length = od[usable], length[usable]
    if len(od) < s.min_pixels:
        return _defaults(background, f"{len(od)} stained pixels, fewer than {s.min_pixels}")
    hematoxylin, dab = QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab
    # Brown pixels are selected again with the vectors found: with QuPath's, DAB of another make may not count as brown.
    for _ in range(_PASSES):
        hematoxylin, dab, dab_share = _directions(od, length, StainVectors(hematoxylin, dab), s)
    if dab_share < s.min_dab_share:
        off = _angle_deg(hematoxylin, QUPATH_H_DAB.hematoxylin)
        scarce = f"DAB in {100 * dab_share:.1f} % of stained pixels, under {100 * s.min_dab_share:g} %"
        return _defaults(background, f"{scarce}; haematoxylin about {off:.0f}° from QuPath's")
    for name, found, expected, limit in (
        ("haematoxylin", hematoxylin, QUPATH_H_DAB.hematoxylin, s.max_hematoxylin_deviation_deg),
        ("DAB", dab, QUPATH_H_DAB.dab, s.max_dab_deviation_deg),
    ):
        off = _angle_deg(found, expected)
        if off > limit:
            return _defaults(background, f"{name} estimate {off:.0f}° from QuPath's, over {limit:g}°")
    apart = _angle_deg(hematoxylin, dab)
    if apart < s.min_separation_deg:
        return _defaults(background, f"estimates {apart:.0f}° apart, under {s.min_separation_deg:g}°")
    return StainVectors(hematoxylin, dab, background, f"pooled estimate over {len(od)} stained pixels")


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
    if brown.mean() < s.min_dab_share:
        return hematoxylin, start.dab, float(brown.mean())
    dense = brown & (length >= np.percentile(length[brown], s.dab_dense_percentile))
    pure = dense & (angle >= np.percentile(angle[dense], s.dab_angle_percentile))
    return hematoxylin, unit_vector(tuple(np.median(direction[pure], axis=0)), "dab"), float(brown.mean())


def _angle_deg(one: Vector, other: Vector) -> float:
    # Rounding may lift the product of two equal unit vectors above 1.
    return math.degrees(math.acos(min(1.0, float(np.dot(one, other)))))


def _defaults(background: Vector, why: str) -> StainVectors:
    return StainVectors(
        QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab, background, f"{QUPATH_H_DAB.source} ({why})"
    )
