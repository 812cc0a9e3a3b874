"""Plausibility of the pixel size: nuclei have a known size.

A tag that is off by ten gave 115 "cells" and a score without a word (a public report: TRIDENT#135). Two independent
measures catch it. Before cells are sought, the scale at which haematoxylin forms blobs, read at full resolution and
thus whatever the tags say. Afterwards, the median diameter of the nuclei that were found, which is more precise but
only means anything within a factor of about three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.grid import Grid
from qupath_her2.cells.nuclei.star_contours import polygon_areas
from qupath_her2.cells.samples import Sample
from qupath_her2.records import Refusal
from qupath_her2.setting_ranges import Range, check_order, check_settings
from qupath_her2.slides.readers.slide import Slide, read_scaled
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, unmix

__all__ = ["ScaleSettings", "blob_diameter_um", "check_blobs", "check_nuclei"]

#: Typical of tumour nuclei as this detector outlines them; for the pixel size that the message suggests.
_TYPICAL_NUCLEUS_UM = 7.0
#: Fewer nuclei than this say nothing about an image.
_FEWEST_NUCLEI = 50
_WINDOW_PX, _MOST_WINDOWS = 512, 6
_SIGMAS_PX = 2.0 ** np.arange(0.5, 1.5, 0.25)
_OCTAVES = 5
#: Largest mean squared response per window of blank glass, OD²: noise of 3 grey levels has 1.5e-7; drawn nuclei of any
#: score have 1.3e-5.
_NO_BLOBS_OD2 = 5e-7
#: Step between the two Gaussians whose difference stands in for the Laplacian of a Gaussian (Lindeberg, Feature
#: detection with automatic scale selection, IJCV 1998;30:79-116, doi 10.1023/A:1008045108935).
_STEP = 1.19


@dataclass(frozen=True, slots=True)
class ScaleSettings:
    """Sizes that fit nuclei.

    Attributes
    ----------
    min_blob_um, max_blob_um
        Diameter of the blobs that dominate haematoxylin, outside which an image is refused. 24 real pictures measure
        2.2 µm (gaps between 3+ membranes) to 12.4 µm (out of focus), drawn ones 6.7 µm; the limits lie clearly outside,
        so that only sizes off by more than about three are refused.
    warn_blob_um
        Diameter of these blobs above which there is a warning: 22 of the 24 pictures measure 8.8 µm or less, two that
        are out of focus 12.4 µm; with a pixel size twice as large, drawn fields measure 11.3 to 13.4 µm. The detector
        cannot tell: it looks for nuclei of the usual size and finds parts of larger ones.
    min_nucleus_um, max_nucleus_um
        Median diameter of the nuclei found, outside which there is a warning. 12 real pictures have 6.2 to 9.9 µm,
        drawn ones 7.0 to 7.4 µm; with a pixel size half as large, 4.1 to 5.8 µm.
    """

    min_blob_um: Annotated[float, Range(0, 100, "µm")] = 1.6
    warn_blob_um: Annotated[float, Range(0.1, 1000, "µm")] = 10.5
    max_blob_um: Annotated[float, Range(0.1, 1000, "µm")] = 20.0
    min_nucleus_um: Annotated[float, Range(0, 100, "µm")] = 5.8
    max_nucleus_um: Annotated[float, Range(0.1, 1000, "µm")] = 11.5

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "min_blob_um", "warn_blob_um")
        check_order(self, "warn_blob_um", "max_blob_um", is_strict=False)
        check_order(self, "min_nucleus_um", "max_nucleus_um")


def blob_diameter_um(
    slide: Slide, samples: Sequence[Sample], grid: Grid, stains: StainVectors, pixel_size_um: float
) -> float | None:
    """Return the diameter of the blobs that dominate the haematoxylin of an image.

    Parameters
    ----------
    slide
        An open image.
    samples
        Sample windows of the scored regions, in whose middle full resolution is read.
    grid
        Their working grid.
    stains
        Stain vectors and background, of which only the background counts.
    pixel_size_um
        Pixel size of level 0 as stated, µm.

    Returns
    -------
    float | None
        µm, in steps of a quarter octave, between 4 and 90 level-0 pixels; None without samples, or where they show
        no blobs (blank glass).

    Raises
    ------
    ImageReadError
        When the file is damaged or gone.
    """
    if not samples:
        return None
    step = max(1, len(samples) // _MOST_WINDOWS)
    energy: NDArray[np.float64] = np.zeros(_OCTAVES * len(_SIGMAS_PX))
    for sample in samples[::step][:_MOST_WINDOWS]:
        x, y = _window_corner(sample, grid, slide)
        energy += _blob_energy(read_scaled(slide, x, y, _WINDOW_PX, _WINDOW_PX, 1.0), stains)
    if energy.max() / len(samples[::step][:_MOST_WINDOWS]) < _NO_BLOBS_OD2:
        return None
    octave, number = divmod(int(energy.argmax()), len(_SIGMAS_PX))
    # A disc answers most strongly at a sigma of its radius over the square root of two.
    return float(2 * np.sqrt(2) * _SIGMAS_PX[number] * 2**octave * pixel_size_um)


def _window_corner(sample: Sample, grid: Grid, slide: Slide) -> tuple[int, int]:
    """Return the corner of a full-resolution window in the middle of a sample's scored part, level-0 pixels."""
    rows, columns = np.nonzero(sample.inside)
    row, column = (float(np.median(v)) if len(v) else sample.inside.shape[0] / 2 for v in (rows, columns))
    x, y = (
        round((corner + offset) * grid.downsample - _WINDOW_PX / 2)
        for corner, offset in zip(sample.corner, (column, row), strict=True)
    )
    # With tags ten times off, a sample is wider than a small image, and its middle may lie outside.
    return max(0, min(x, slide.width - _WINDOW_PX)), max(0, min(y, slide.height - _WINDOW_PX))


def _blob_energy(rgb: NDArray[np.uint8], stains: StainVectors) -> NDArray[np.float64]:
    """Return the mean squared response of dark blue blobs at each scale of the octaves, float64 (O * S,)."""
    # QuPath's vectors, not those of the image, which are an estimate: the limits were found with these.
    density = unmix(rgb, replace(QUPATH_H_DAB, background_rgb=stains.background_rgb))
    dab = np.maximum(density[..., 1], 0)
    # As in the detection of nuclei: they are holes in DAB, and dense DAB must not outweigh them.
    plane = np.minimum(density[..., 0], np.float32(0.6)) - np.float32(0.5) * dab / (
        1 + dab / np.float32(0.35)
    )
    energy = []
    for _ in range(_OCTAVES):
        for sigma in _SIGMAS_PX:
            narrow, wide = (cv2.GaussianBlur(plane, (0, 0), float(s)) for s in (sigma, sigma * _STEP))
            energy.append(float(np.square(np.maximum(narrow - wide, 0)).mean()))
        plane = np.asarray(cv2.pyrDown(plane), np.float32)
    return np.array(energy)


def check_blobs(diameter_um: float | None, pixel_size_um: float, s: ScaleSettings) -> Refusal | None:
    """Return a refusal where blobs of haematoxylin are no nuclei at any tissue's size, else None.

    Parameters
    ----------
    diameter_um
        From `blob_diameter_um`.
    pixel_size_um
        Pixel size of level 0 as stated, µm.
    s
        Sizes that fit nuclei.

    Returns
    -------
    Refusal | None
        Its code is ``pixel_size_implausible``.
    """
    if diameter_um is None or s.min_blob_um <= diameter_um <= s.max_blob_um:
        return None
    return Refusal(
        "pixel_size_implausible",
        f"nuclei do not fit the pixel size: at {pixel_size_um:g} µm they measure about {diameter_um:.2g} µm, and those "
        "of tissue 6 to 15. Correct the pixel size in QuPath (Image tab), or pass --pixel-size-um; "
        "20x scans have about 0.5 µm, 40x scans 0.25",
    )


def check_nuclei(
    radii_um: NDArray[np.float32], blobs_um: float | None, pixel_size_um: float, s: ScaleSettings
) -> list[str]:
    """Return a warning where the nuclei found are too small or too large for the pixel size.

    Parameters
    ----------
    radii_um
        float32 (N, A), contours of the nuclei, µm; all 0 for a cell without nucleus.
    blobs_um
        From `blob_diameter_um`.
    pixel_size_um
        Pixel size of level 0 as stated, µm.
    s
        Sizes that fit nuclei.

    Returns
    -------
    list[str]
        A sentence with the median diameter and the pixel size that would fit; empty where they fit, or are few.
    """
    areas = polygon_areas(radii_um[radii_um.any(1)])
    if len(areas) < _FEWEST_NUCLEI:
        return []
    diameter = float(2 * np.sqrt(np.median(areas) / np.pi))
    is_small, is_large = diameter < s.min_nucleus_um, diameter > s.max_nucleus_um
    if blobs_um is not None and blobs_um > s.warn_blob_um:
        # Of the two measures, the one that does not depend on what the detector can find.
        diameter, is_small, is_large = max(diameter, blobs_um), False, True
    if not is_small and not is_large:
        return []
    fitting = pixel_size_um * _TYPICAL_NUCLEUS_UM / diameter
    size = "small" if is_small else "large"
    return [
        f"Nuclei are {size} for pixels of {pixel_size_um:g} µm: their median diameter is {diameter:.1f} µm, that of "
        f"tumour nuclei {s.min_nucleus_um:g} to {s.max_nucleus_um:g} µm. A pixel size near {fitting:.2g} µm would "
        "fit; check it in QuPath (Image tab), or pass --pixel-size-um."
    ]
