"""Stain vectors and lamp colour estimated from the pixels of haematoxylin-DAB images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, Vector, unit_vector

__all__ = ["StainEstimateSettings", "estimate_background", "estimate_stains"]

#: Fewer glass pixels than this say nothing about the lamp; QuPath's 255 stands instead.
_MIN_GLASS_PIXELS = 200

#: The second pass moves a vector by 1° at most where the first found DAB at all; a third changes nothing more.
_PASSES = 2


def estimate_background(rgb_thumbnail: NDArray[np.uint8], tissue_mask: NDArray[np.bool_]) -> Vector:
    """Return the colour of empty glass: the per-channel median of bright pixels away from tissue.

    Parameters
    ----------
    rgb_thumbnail
        uint8 (H, W, 3).
    tissue_mask
        bool (H, W), True on tissue. A margin of 2 thumbnail pixels around it is left out.

    Returns
    -------
    Vector
        tuple of three floats in (0, 255]; (255, 255, 255), QuPath's default, where under 200 glass pixels remain.
    """
    near = cv2.dilate(tissue_mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    glass = rgb_thumbnail[~near]
    # Pen, bubbles' edges and the holder are darker than any lamp setting a scanner calibrates to.
    glass = glass[glass.min(axis=1) >= 170]
    if len(glass) < _MIN_GLASS_PIXELS:
        return QUPATH_H_DAB.background_rgb
    red, green, blue = (float(v) for v in np.median(glass, axis=0))
    return (red, green, blue)


@dataclass(frozen=True, slots=True)
class StainEstimateSettings:
    """When and how stain vectors are estimated.

    Attributes
    ----------
    min_density
        Length of the OD vector from which a pixel has a colour worth asking, OD.
    max_density
        Per-channel OD above which DAB no longer follows Beer-Lambert and 8-bit colour is coarse.
    hematoxylin_percentile
        Share of pixels, at the blue end of the angle between the stains, that define
        haematoxylin, %.
    dab_dense_percentile, dab_angle_percentile
        DAB is defined by the brown pixels above this percentile of
        density, and of those by the ones beyond this percentile of the angle.
    min_dab_share
        Share of stained pixels that must be brown before DAB counts as plentiful, 0..1.
    dab_density
        DAB OD above which a pixel is brown.
    max_hematoxylin_deviation_deg, max_dab_deviation_deg
        Largest accepted angle between an estimate and QuPath's
        default, degrees. Four real cores lie within 7; of drawn fields with stains of other makes many lie beyond 12,
        where the default misled more than the estimate (shares up to 27 points off). Eosin lies 19 from DAB.
    min_separation_deg
        Smallest accepted angle between the two estimates, degrees; QuPath's are 37 apart. Nearer ones
        cannot be told apart.
    min_pixels
        Fewest stained pixels.
    """

    min_density: float = 0.15
    max_density: float = 1.2
    hematoxylin_percentile: float = 2.0
    dab_dense_percentile: float = 40.0
    dab_angle_percentile: float = 80.0
    min_dab_share: float = 0.05
    dab_density: float = 0.25
    max_hematoxylin_deviation_deg: float = 20.0
    max_dab_deviation_deg: float = 18.0
    min_separation_deg: float = 15.0
    min_pixels: int = 5_000


def estimate_stains(
    od_pixels: NDArray[np.float32],
    *,
    background_rgb: tuple[float, float, float] = (255.0, 255.0, 255.0),
    settings: StainEstimateSettings | None = None,
) -> StainVectors:
    """Estimate one pair of stain vectors from stained tissue pooled over all images of one scanner and stain.

    Pixels are ordered by their angle from haematoxylin to DAB in the plane of QuPath's default vectors, and once more
    in that of the vectors found; each stain is the median direction of the pixels at its own end, in full colour. DAB
    is asked of the dense brown pixels only: thin DAB is yellower than thick, and the outermost angles of all brown
    pixels gave a vector 12° off on a real 3+ core, under which every dark membrane held haematoxylin. This is not
    Macenko's SVD, which finds the two widest directions whatever they are: without DAB it calls grey "DAB".
    For the same reason never pass one patch, or one image that may hold no DAB: in a prototype on real cores
    labelled 0, false 1+ rose from 0.3 % to 4.5 % of cells. Nor is haematoxylin alone taken from where DAB is scarce:
    beside QuPath's DAB a haematoxylin that lies towards it hides what DAB there is (drawn fields of 1+ read as 0).

    Parameters
    ----------
    od_pixels
        float32 (N, 3), optical density of tissue pixels against their own image's background.
    background_rgb
        Put into the result.
    settings
        Limits of acceptance.

    Returns
    -------
    StainVectors
        The estimate, or QuPath's defaults where DAB is scarce or a direction is not the expected
        one; `source` says which and why.
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
    # What is brown is asked again with the picture's own vectors: under QuPath's, DAB of another make may not be.
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
    """Return haematoxylin, DAB (that of `start` where it is scarce) and the share of brown pixels, 0..1."""
    amounts = od @ np.linalg.inv(start.matrix()).astype(np.float32)
    brown = (amounts[:, 1] >= s.dab_density) & (amounts[:, 1] > amounts[:, 0])
    angle = np.arctan2(amounts[:, 1], amounts[:, 0])
    direction = od / length[:, None]
    blue = angle <= np.percentile(angle, s.hematoxylin_percentile)
    hematoxylin = unit_vector(tuple(np.median(direction[blue], axis=0)), "hematoxylin")
    if brown.mean() < s.min_dab_share:
        return hematoxylin, start.dab, float(brown.mean())
    dense = brown & (length >= np.percentile(length[brown], s.dab_dense_percentile))
    pure = dense & (angle >= np.percentile(angle[dense], s.dab_angle_percentile))
    return hematoxylin, unit_vector(tuple(np.median(direction[pure], axis=0)), "dab"), float(brown.mean())


def _angle_deg(one: Vector, other: Vector) -> float:
    return math.degrees(math.acos(min(1.0, float(np.dot(one, other)))))


def _defaults(background: Vector, why: str) -> StainVectors:
    return StainVectors(
        QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab, background, f"{QUPATH_H_DAB.source} ({why})"
    )
