"""Pictures that must not be scored by cells: too coarse, not IHC, blurred, or not a membrane stain.

A refusal is a result: "not assessable" with the reason beats a wrong number. Limits were set on four real HER2 cores
and on drawn fields; see `reference` figures beside each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.planes import blur
from qupath_her2.cells.samples import Sample
from qupath_her2.cells.sectors import Sectors
from qupath_her2.records import Refusal
from qupath_her2.slides import StainVectors, optical_density

__all__ = ["QualitySettings", "check_membranes", "check_picture", "check_pixel_size", "edge_blur_um"]


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """Limits of what is scored.

    Attributes
    ----------
    max_pixel_size_um, warn_pixel_size_um : coarser pixels cannot show a membrane of 0.64 µm (1+, Scheel 2018).
    max_green_share : median share of green in the optical density of tissue; eosin absorbs green (real HER2 IHC
        0.32 to 0.37, recoloured H&E 0.47 to 0.63).
    max_edge_blur_um : sigma of the sharpest edges (real cores 0.22 to 0.27, blurred by 0.5 µm 0.36 to 0.44, by
        1 µm from 0.66).
    min_positive_cells : fewer stained cells say nothing about where the stain lies.
    positive_od : a cell is stained where DAB at its membrane, its cytoplasm or its nucleus reaches this, OD.
    min_ridge_share : DAB that stands in ridges, as a share of all DAB of the stained cells.
    min_contrast : median over stained cells of (membrane - rest) / (membrane + rest).
    """

    max_pixel_size_um: float = 0.55
    warn_pixel_size_um: float = 0.45
    max_green_share: float = 0.42
    max_edge_blur_um: float = 0.56
    min_positive_cells: int = 50
    positive_od: float = 0.12
    min_ridge_share: float = 0.22
    min_contrast: float = 0.20


def check_pixel_size(pixel_size_um: float, s: QualitySettings) -> tuple[Refusal | None, str | None]:
    """Refuse pixels too coarse for a membrane; return the refusal, or a warning where they are nearly so."""
    if pixel_size_um > s.max_pixel_size_um:
        reason = (
            f"pixels of {pixel_size_um:.2f} µm are too coarse for a membrane about 0.6 to 2.1 µm wide "
            f"(limit {s.max_pixel_size_um:g}). Scan at 20x or more."
        )
        return Refusal("pixels_too_coarse", reason), None
    if pixel_size_um > s.warn_pixel_size_um:
        return None, (
            f"At {pixel_size_um:.2f} µm per pixel a 1+ membrane is about one pixel wide; 0 and 1+ are less certain."
        )
    return None, None


def _gradient(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    dx = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3)
    dy = cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3)
    return np.asarray(cv2.magnitude(dx, dy), np.float32)


def edge_blur_um(rgb: NDArray[np.uint8], stains: StainVectors, um_px: float) -> float:
    """Estimate how blurred the sharpest edges of a picture are.

    An edge blurred by sigma loses the share ``sqrt(sigma^2 + s^2) / sigma`` of its slope when it is blurred again by
    s; that share, at the strongest edges, gives sigma without any knowledge of the picture's texture.

    Parameters
    ----------
    rgb : uint8 (H, W, 3).
    stains : for the background.
    um_px : pixel size, µm.

    Returns
    -------
    10th percentile over the strongest 5 % of edges, µm; NaN without edges.

    References
    ----------
    .. [1] Zhuo S, Sim T. "Defocus map estimation from a single image." Pattern Recognition 44:1852-1858, 2011.
       doi:10.1016/j.patcog.2011.03.009
    """
    again_um = 0.5
    density = optical_density(rgb, stains.background_rgb).mean(2)
    sharp = blur(density, 0.3 / um_px)
    slope, slope_again = _gradient(sharp), _gradient(blur(sharp, again_um / um_px))
    strong = (slope >= np.percentile(slope, 95)) & (
        slope >= 0.95 * cv2.dilate(slope, np.ones((3, 3), np.uint8))
    )
    strong &= slope > 1e-3
    if not strong.any():
        return float("nan")
    ratio = slope[strong] / np.maximum(slope_again[strong], 1e-6)
    sigma = again_um / np.sqrt(np.maximum(ratio.astype(np.float64) ** 2 - 1, 1e-3))
    return float(np.percentile(sigma, 10))


def _green_share(samples: Sequence[Sample], stains: StainVectors) -> float:
    shares = []
    for sample in samples:
        density = optical_density(sample.tile.rgb, stains.background_rgb)[sample.inside]
        total = density.sum(1)
        tissue = total > 0.15
        shares.append(density[tissue, 1] / total[tissue])
    pooled = np.concatenate(shares) if shares else np.zeros(0)
    return float(np.median(pooled)) if len(pooled) > 1000 else float("nan")


def check_picture(samples: Sequence[Sample], stains: StainVectors, s: QualitySettings) -> Refusal | None:
    """Refuse what is not an IHC picture, or is out of focus.

    Parameters
    ----------
    samples : spread over the scored regions.
    stains : vectors and background.
    s : limits.
    """
    green = _green_share(samples, stains)
    if green > s.max_green_share:
        reason = (
            f"the colours are those of H&E, not of haematoxylin and DAB (green share of optical density "
            f"{green:.2f}, limit {s.max_green_share:g}). Choose the HER2 IHC slide of this case."
        )
        return Refusal("not_ihc", reason)
    blurs = [edge_blur_um(sample.tile.rgb, stains, sample.tile.planes.um_px) for sample in samples]
    known = [value for value in blurs if np.isfinite(value)]
    if known and np.median(known) > s.max_edge_blur_um:
        reason = (
            f"out of focus: the sharpest edges are blurred by {np.median(known):.2f} µm "
            f"(limit {s.max_edge_blur_um:g}). Scan the slide again."
        )
        return Refusal("blurred", reason)
    return None


def check_membranes(sectors: Sectors, ridge_share: NDArray[np.float32], s: QualitySettings) -> Refusal | None:
    """Refuse brown that does not lie on membranes: cytoplasmic or nuclear stain, or a wash over everything.

    Parameters
    ----------
    sectors : of the tumour cells.
    ridge_share : float32 (N), of each cell, the share of its DAB that stands in ridges.
    s : limits.
    """
    membrane = np.percentile(sectors.peak_od, 75, axis=1)
    cytoplasm_rays = np.where(np.isnan(sectors.cytoplasm_od), sectors.inner_od, sectors.cytoplasm_od)
    inner = np.maximum(cytoplasm_rays.mean(1), np.nan_to_num(np.nanmean(sectors.nucleus_od, axis=1)))
    positive = np.maximum(membrane, inner) > s.positive_od
    if positive.sum() < s.min_positive_cells or positive.mean() < 0.02:
        return None
    rest = np.maximum(inner[positive], 0)
    contrast = float(np.median((membrane[positive] - rest) / (membrane[positive] + rest)))
    ridges = float(np.median(ridge_share[positive]))
    if contrast >= s.min_contrast and ridges >= s.min_ridge_share:
        return None
    nuclear = np.median(np.nan_to_num(np.nanmean(sectors.nucleus_od, axis=1))[positive])
    where = "nuclei" if nuclear > np.median(cytoplasm_rays.mean(1)[positive]) * 1.3 else "cytoplasm"
    reason = (
        f"not a membrane stain: the brown of {int(positive.sum()):,} stained cells lies in the {where} as much as on "
        f"membranes (contrast {contrast:.2f}, limit {s.min_contrast:g}; share in thin lines {ridges:.2f}, limit "
        f"{s.min_ridge_share:g})."
    )
    return Refusal("not_membrane", reason)
