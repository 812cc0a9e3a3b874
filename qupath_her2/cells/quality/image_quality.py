"""Checks of a picture before its cells are sought: pixel size, colour, focus, nuclear stain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.seeds import blob_response
from qupath_her2.cells.quality.focus import BLOCK_PX, focus_map
from qupath_her2.cells.quality.nuclear_spots import NuclearSpots, nuclear_spots
from qupath_her2.cells.quality.settings import QualitySettings
from qupath_her2.cells.samples import Sample
from qupath_her2.records import Refusal
from qupath_her2.slides.stains.vectors import StainVectors, density_tables

__all__ = ["ImageQuality", "assess_image", "check_image", "check_pixel_size"]

#: Blob sizes of nuclei, as Gaussian sigmas, µm.
_NUCLEUS_SIGMAS_UM = (1.75, 2.5)


@dataclass(frozen=True, slots=True)
class ImageQuality:
    """Quality of an image as measured on its samples; NaN where it could not be measured.

    Attributes
    ----------
    green_share
        Median fraction of green in the optical density of tissue, 0..1.
    edge_blur_um
        Median blur of the edges over the blocks of the scored regions, µm.
    blurred_share
        Share of these blocks that are out of focus, 0..1.
    dab_polarity
        Fraction of dark blobs among DAB blobs of nuclear size, 0..1.
    dab_od
        Mean DAB of the scored regions, OD.
    spots
        Solid spots of DAB of nuclear size.
    """

    green_share: float
    edge_blur_um: float
    blurred_share: float
    dab_polarity: float
    dab_od: float
    spots: NuclearSpots


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


@nb.njit(cache=True, nogil=True)
def _green_shares(
    rgb: NDArray[np.uint8], inside: NDArray[np.bool_], tables: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the fraction of green in the optical density of each pixel of tissue inside, float32 (N)."""
    height, width = inside.shape
    shares, n = np.empty(height * width, np.float32), 0
    for y in range(height):
        for x in range(width):
            green = tables[1, rgb[y, x, 1]]
            total = tables[0, rgb[y, x, 0]] + green + tables[2, rgb[y, x, 2]]
            # The colour ratio of glass is noise.
            if inside[y, x] and total > np.float32(0.15):
                shares[n] = green / total
                n += 1
    return shares[:n]


def _green_share(samples: Sequence[Sample], stains: StainVectors) -> float:
    """Return the median fraction of green in the optical density of tissue; NaN with hardly any tissue."""
    tables = density_tables(stains.background_rgb)
    shares = [_green_shares(np.ascontiguousarray(s.tile.rgb), s.inside, tables) for s in samples]
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


def _block_blur_um(samples: Sequence[Sample], stains: StainVectors) -> NDArray[np.float32]:
    """Return the blur of all blocks within the scored regions that have edges, µm."""
    found = [np.zeros(0, np.float32)]
    for sample in samples:
        focus = focus_map(sample.tile.rgb, stains, sample.tile.planes.um_px)
        middle = slice(BLOCK_PX // 2, None, BLOCK_PX)
        found.append(focus.blur_um[sample.inside[middle, middle]])
    blocks = np.concatenate(found)
    return blocks[np.isfinite(blocks)]


def assess_image(samples: Sequence[Sample], stains: StainVectors, s: QualitySettings) -> ImageQuality:
    """Measure the colour and focus of an image, and whether its DAB lies in nuclei.

    Parameters
    ----------
    samples
        Sample windows spread over the scored regions.
    stains
        Stain vectors and background of the image.
    s
        Gives the blur from which a block is out of focus.

    Returns
    -------
    ImageQuality
        Of the image.
    """
    blocks = _block_blur_um(samples, stains)
    return ImageQuality(
        _green_share(samples, stains),
        float(np.median(blocks)) if len(blocks) else float("nan"),
        float((blocks > s.max_edge_blur_um).mean()) if len(blocks) else float("nan"),
        _dab_polarity(samples),
        _mean_dab(samples),
        nuclear_spots(samples),
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
    if quality.blurred_share > s.max_blurred_share:
        reason = (
            f"out of focus: edges are blurred by more than {s.max_edge_blur_um:g} µm in {quality.blurred_share:.0%} of "
            f"the tissue (limit {s.max_blurred_share:.0%}), by {quality.edge_blur_um:.2f} µm in the median. "
            "Scan the slide again."
        )
        return Refusal("blurred", reason)
    return _check_nuclear(quality, s)


def _check_nuclear(quality: ImageQuality, s: QualitySettings) -> Refusal | None:
    spots = quality.spots
    if spots.count >= s.min_nuclear_spots and spots.share > s.max_nuclear_share:
        reason = (
            f"not a membrane stain: DAB stains the nuclei ({spots.share:.0%} of the stained area lies in "
            f"{spots.count} solid spots of nuclear size, limit {s.max_nuclear_share:.0%})."
        )
        return Refusal("not_membrane", reason)
    if quality.dab_polarity > s.max_dab_polarity and quality.dab_od > s.min_dab_od:
        reason = (
            f"not a membrane stain: DAB stains the nuclei (dark fraction of DAB blobs {quality.dab_polarity:.2f}, "
            f"limit {s.max_dab_polarity:g})."
        )
        return Refusal("not_membrane", reason)
    return None
