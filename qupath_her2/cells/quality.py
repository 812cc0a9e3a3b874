"""Quality checks: images that must not be scored by cells (too coarse, not IHC, blurred, not a membrane stain).

A refusal is a result: "not assessable" with a reason is better than a wrong number. The limits were set on four real
HER2 cores and on drawn fields; the figures beside each limit say what was measured there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.radial_profiles import RadialProfiles
from qupath_her2.cells.nuclei.seeds import blob_response
from qupath_her2.cells.samples import Sample
from qupath_her2.cells.stain_planes import blur
from qupath_her2.records import Refusal
from qupath_her2.setting_ranges import Density, Range, Share, check_order, check_settings
from qupath_her2.slides.stains.vectors import StainVectors, optical_density

__all__ = [
    "ImageQuality",
    "QualitySettings",
    "assess_image",
    "check_membranes",
    "check_image",
    "check_pixel_size",
    "edge_blur_um",
]

#: Blob sizes of nuclei, as Gaussian sigmas, µm.
_NUCLEUS_SIGMAS_UM = (1.75, 2.5)


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """Limits of images that are scored.

    Attributes
    ----------
    max_pixel_size_um, warn_pixel_size_um
        Coarser pixels cannot resolve a membrane of 0.64 µm (1+, Scheel 2018).
    max_green_share
        Median fraction of green in the optical density of tissue: eosin absorbs green. Real HER2 IHC 0.32 to 0.37,
        drawn with stains of other vendors up to 0.435; a real H&E slide 0.48, recoloured H&E 0.47 to 0.63.
    max_edge_blur_um
        Sigma of the sharpest edges. Real cores 0.22 to 0.27; blurred by 0.5 µm 0.36 to 0.44, by 1 µm from 0.66.
    min_positive_cells, min_positive_share
        With fewer stained cells the location of the stain cannot be judged.
    positive_od
        A cell is stained where DAB of its membrane, cytoplasm or nucleus exceeds this, OD.
    max_dab_polarity
        Fraction of dark blobs among DAB blobs of nuclear size. Membrane and cytoplasmic stains leave nuclei pale: 0.44
        to 0.60; a nuclear stain 0.75.
    min_dab_od
        Mean DAB of the regions from which the polarity is judged, OD.
    min_ridge_share, min_ridge_share_fine, min_ridge_share_blurred
        Fraction of the stained cells' DAB that lies in thin lines: limits for a sharp image (edges of 0.33 µm or less)
        at 0.5 µm per pixel, at 0.25 µm per pixel, where lines are thinner, and for edges from 0.40 µm; in between it
        is interpolated. Real 2+ and 3+ cores 0.26 to 0.28 at 0.25 µm; drawn 1+ 0.16 to 0.22 and 0.31, diffuse
        cytoplasm 0.09 and 0.15 at 0.5 and 0.25 µm.
    doubtful_ridge_factor, doubtful_contrast
        Up to this multiple of the limit, membranes must also stand out from the rest of their cells: median of
        (membrane - rest) / (membrane + rest).
    """

    # At 2 µm (5x) membranes cannot be seen at all.
    max_pixel_size_um: Annotated[float, Range(0.1, 2, "µm")] = 0.55
    warn_pixel_size_um: Annotated[float, Range(0.1, 2, "µm")] = 0.45
    max_green_share: Share = 0.45
    max_edge_blur_um: Annotated[float, Range(0.05, 10, "µm")] = 0.56
    min_positive_cells: Annotated[int, Range(1, 1_000_000, "cells")] = 50
    min_positive_share: Share = 0.10
    positive_od: Density = 0.12
    max_dab_polarity: Share = 0.68
    min_dab_od: Density = 0.03
    min_ridge_share: Share = 0.13
    min_ridge_share_fine: Share = 0.20
    min_ridge_share_blurred: Share = 0.085
    doubtful_ridge_factor: Annotated[float, Range(1, 10)] = 1.2
    doubtful_contrast: Share = 0.33

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "warn_pixel_size_um", "max_pixel_size_um", is_strict=False)


@dataclass(frozen=True, slots=True)
class ImageQuality:
    """Quality of an image as measured on its samples; NaN where it could not be measured.

    Attributes
    ----------
    green_share
        Median fraction of green in the optical density of tissue, 0..1.
    edge_blur_um
        Sigma of the sharpest edges, µm.
    dab_polarity
        Fraction of dark blobs among DAB blobs of nuclear size, 0..1.
    dab_od
        Mean DAB of the scored regions, OD.
    pixel_size_um
        Pixel size of the scan, µm.
    """

    green_share: float
    edge_blur_um: float
    dab_polarity: float
    dab_od: float
    pixel_size_um: float


def check_pixel_size(pixel_size_um: float, s: QualitySettings) -> tuple[Refusal | None, str | None]:
    """Return a refusal where pixels are too coarse for membranes, or a warning where they nearly are."""
    if pixel_size_um > s.max_pixel_size_um:
        reason = (
            f"pixels of {pixel_size_um:.2f} µm are too coarse for a membrane about 0.6 to 2.1 µm wide "
            f"(limit {s.max_pixel_size_um:g}). Scan at 20x or more."
        )
        return Refusal("pixels_too_coarse", reason), None
    if pixel_size_um > s.warn_pixel_size_um:
        return None, (
            f"At {pixel_size_um:.2f} µm per pixel a 1+ membrane is about one pixel wide: 0 and 1+ are hard to tell "
            "apart."
        )
    return None, None


def _gradient(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    dx = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3)
    dy = cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3)
    return np.asarray(cv2.magnitude(dx, dy), np.float32)


def edge_blur_um(rgb: NDArray[np.uint8], stains: StainVectors, um_px: float) -> float:
    """Estimate the blur of the sharpest edges of an image.

    Blurring an edge of blur sigma again by s lowers its slope by the factor ``sqrt(sigma^2 + s^2) / sigma`` [1]_. That
    ratio, at the strongest edges, gives sigma without any knowledge of the image's texture, on which energy-based
    sharpness measures depend.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    stains
        Gives the background colour.
    um_px
        Pixel size, µm.

    Returns
    -------
    float
        10th percentile over the strongest 5 % of edges, µm; NaN without edges.

    References
    ----------
    .. [1] Zhuo S, Sim T. "Defocus map estimation from a single image." Pattern Recognition 44:1852-1858, 2011.
       doi:10.1016/j.patcog.2011.03.009
    """
    # About the blur to be detected: less would hardly change the slopes, more would merge neighbouring edges.
    again_um = 0.5
    density = optical_density(rgb, stains.background_rgb).mean(2)
    # A light blur first: otherwise pixel noise and JPEG blocks would be the sharpest edges.
    sharp = blur(density, 0.3 / um_px)
    slope, slope_again = _gradient(sharp), _gradient(blur(sharp, again_um / um_px))
    # Only the crests of the strongest edges: on their flanks the ratio of slopes says nothing about blur.
    strong = (slope >= np.percentile(slope, 95)) & (
        slope >= 0.95 * cv2.dilate(slope, np.ones((3, 3), np.uint8))
    )
    strong &= slope > 1e-3
    if not strong.any():
        return float("nan")
    ratio = slope[strong] / np.maximum(slope_again[strong], 1e-6)
    sigma = again_um / np.sqrt(np.maximum(ratio.astype(np.float64) ** 2 - 1, 1e-3))
    # The sharpest tenth: edges of thick or overlapping structures are soft in a sharp image, too.
    return float(np.percentile(sigma, 10))


def _green_share(samples: Sequence[Sample], stains: StainVectors) -> float:
    """Return the median fraction of green in the optical density of tissue; NaN with hardly any tissue."""
    shares = []
    for sample in samples:
        density = optical_density(sample.tile.rgb, stains.background_rgb)[sample.inside]
        total = density.sum(1)
        # The colour ratio of glass is noise.
        tissue = total > 0.15
        shares.append(density[tissue, 1] / total[tissue])
    # Pooled over all samples: a median of medians would weigh samples with hardly any tissue alike.
    pooled = np.concatenate(shares) if shares else np.zeros(0)
    return float(np.median(pooled)) if len(pooled) > 1000 else float("nan")


def _dab_polarity(samples: Sequence[Sample]) -> float:
    """Return the fraction of dark blobs among DAB blobs: stained nuclei are dark blobs, unstained ones are holes."""
    dark, pale = 0.0, 0.0
    for sample in samples:
        planes = sample.tile.planes
        dab = np.maximum(planes.dab, 0)
        # Blob responses have half the resolution.
        inside = sample.inside[::2, ::2]
        dark += float(blob_response(dab, planes.um_px, _NUCLEUS_SIGMAS_UM)[inside].sum())
        pale += float(blob_response(-dab, planes.um_px, _NUCLEUS_SIGMAS_UM)[inside].sum())
    return dark / (dark + pale) if dark + pale > 0 else float("nan")


def _mean_dab(samples: Sequence[Sample]) -> float:
    inside = [np.maximum(sample.tile.planes.dab[sample.inside], 0) for sample in samples]
    pooled = np.concatenate(inside) if inside else np.zeros(0, np.float32)
    return float(pooled.mean()) if len(pooled) else float("nan")


def assess_image(samples: Sequence[Sample], stains: StainVectors, pixel_size_um: float) -> ImageQuality:
    """Measure the colour and sharpness of an image, and whether its DAB lies in nuclei.

    Parameters
    ----------
    samples
        Sample windows spread over the scored regions.
    stains
        Stain vectors and background of the image.
    pixel_size_um
        Pixel size of the scan (level 0), µm.

    Returns
    -------
    ImageQuality
        Of the image.
    """
    blurs = [edge_blur_um(sample.tile.rgb, stains, sample.tile.planes.um_px) for sample in samples]
    known = [value for value in blurs if np.isfinite(value)]
    return ImageQuality(
        _green_share(samples, stains),
        float(np.median(known)) if known else float("nan"),
        _dab_polarity(samples),
        _mean_dab(samples),
        pixel_size_um,
    )


def check_image(quality: ImageQuality, s: QualitySettings) -> Refusal | None:
    """Return a refusal of an image that is not IHC, is out of focus, or shows a nuclear stain; else None."""
    # Comparisons with NaN are false: what could not be measured refuses nothing (blank glass ends as too few cells).
    if quality.green_share > s.max_green_share:
        reason = (
            f"the colours are those of H&E, not of haematoxylin and DAB (green fraction of optical density "
            f"{quality.green_share:.2f}, limit {s.max_green_share:g}). Choose the HER2 IHC slide of this case."
        )
        return Refusal("not_ihc", reason)
    if quality.edge_blur_um > s.max_edge_blur_um:
        reason = (
            f"out of focus: the sharpest edges are blurred by {quality.edge_blur_um:.2f} µm "
            f"(limit {s.max_edge_blur_um:g}). Scan the slide again."
        )
        return Refusal("blurred", reason)
    if quality.dab_polarity > s.max_dab_polarity and quality.dab_od > s.min_dab_od:
        reason = (
            f"not a membrane stain: DAB stains the nuclei (dark fraction of DAB blobs {quality.dab_polarity:.2f}, "
            f"limit {s.max_dab_polarity:g})."
        )
        return Refusal("not_membrane", reason)
    return None


def _least_ridge_share(quality: ImageQuality, s: QualitySettings) -> float:
    """Return the limit of the ridge share: blur and coarse pixels broaden lines, so it follows both."""
    sharp = float(np.interp(quality.pixel_size_um, (0.25, 0.5), (s.min_ridge_share_fine, s.min_ridge_share)))
    if not np.isfinite(quality.edge_blur_um):
        return sharp
    return float(np.interp(quality.edge_blur_um, (0.33, 0.40), (sharp, s.min_ridge_share_blurred)))


def check_membranes(
    profiles: RadialProfiles, ridge_share: NDArray[np.float32], quality: ImageQuality, s: QualitySettings
) -> Refusal | None:
    """Return a refusal where DAB fills cells instead of outlining them; else None.

    Parameters
    ----------
    profiles
        Radial profiles of the N tumour cells.
    ridge_share
        float32 (N), fraction of each cell's DAB that lies in thin lines, 0..1.
    quality
        Quality of the image.
    s
        Limits.

    Returns
    -------
    Refusal | None
        With the code ``not_membrane``.
    """
    # Upper quartile over sectors: an incomplete membrane counts by its stained part.
    membrane = np.percentile(profiles.peak_od, 75, axis=1)
    # Where nucleus and membrane touch, the level inside the membrane stands in for the cytoplasm.
    cytoplasm_rays = np.where(np.isnan(profiles.cytoplasm_od), profiles.inner_od, profiles.cytoplasm_od)
    nucleus = np.nan_to_num(profiles.nucleus_od).mean(1)
    # The stronger of cytoplasm and nucleus: whichever is stained, the membrane has to exceed it.
    inner = np.maximum(cytoplasm_rays.mean(1), nucleus)
    positive = np.maximum(membrane, inner) > s.positive_od
    if positive.sum() < s.min_positive_cells or positive.mean() < s.min_positive_share:
        return None
    n = f"{int(positive.sum()):,} stained cells"
    rest = np.maximum(inner[positive], 0)
    contrast = float(np.median((membrane[positive] - rest) / (membrane[positive] + rest)))
    ridges = float(np.nanmedian(ridge_share[positive]))
    least = _least_ridge_share(quality, s)
    # Near the limit neither criterion is safe alone: granular cytoplasm also has thin lines.
    doubtful = ridges < s.doubtful_ridge_factor * least and contrast < s.doubtful_contrast
    if ridges >= least and not doubtful:
        return None
    reason = (
        f"not a membrane stain: DAB of {n} fills the cytoplasm as much as it outlines membranes "
        f"(fraction in thin lines {ridges:.2f}, limit {least:.2f}; "
        f"contrast of the membrane with the rest of the cell {contrast:.2f})."
    )
    return Refusal("not_membrane", reason)
