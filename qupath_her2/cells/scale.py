"""Plausibility of the pixel size: nuclei have a known size.

A tag that is off by ten gave 115 "cells" and a score without a word (a public report: TRIDENT#135), and a field of 3+
glands whose nuclei are 14 pixels wide, not 22 as its publishers' pixel size asks for, was read as 2+. Two independent
measures catch this. Before cells are sought, the size of the round blobs of haematoxylin, read at full resolution over
a scale space and thus whatever the tags say. Afterwards, the median diameter of the nuclei that were found, which is
more precise but follows the true size only by its square root: the detector looks for nuclei of the usual size. A pixel
size is never corrected: only the user knows it.

Neither can tell a field of lymphocytes from small tumour nuclei at a wrong pixel size, so that a size off by less than
three is a warning, and no refusal. Where the program itself looked for tumour, only the nuclei that it took for tumour
cells count, and an image whose true pixels would by them be too coarse for membranes is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.grid import Grid
from qupath_her2.cells.samples import Sample
from qupath_her2.cells.stain_planes import unmixed
from qupath_her2.records import Refusal
from qupath_her2.setting_ranges import Range, check_order, check_settings
from qupath_her2.slides.readers.slide import Slide, read_scaled
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, stain_tables

__all__ = [
    "DOUBT",
    "ScaleDoubt",
    "ScaleSettings",
    "are_enough",
    "blob_diameter_um",
    "check_blobs",
    "check_nuclei",
    "check_tumour_scale",
]

#: Begins every `ScaleDoubt.sentence`.
DOUBT = "Nuclei would be "

#: Median nucleus of tissue with tumour as this detector outlines it, and its blobs, µm: 6.2 to 7.2 and 4.3 to 8.8 in
#: seven real pictures at the pixel size that fits them, besides a 3+ core whose blobs are gaps between membranes.
_TYPICAL_NUCLEUS_UM, _TYPICAL_BLOB_UM = 6.8, 6.0
#: The median diameter follows the pixel size with this exponent: 0.37 to 0.69 in ten real pictures called 0.6 times as
#: large.
_NUCLEUS_EXPONENT = 0.5
#: Fewer nuclei than this say nothing about an image.
_FEWEST_NUCLEI = 50
_WINDOW_PX, _MOST_WINDOWS = 512, 6
#: Of one octave, with a neighbour below and one above; the difference of two consecutive Gaussians stands in for the
#: Laplacian of the narrower one (Lindeberg, Feature detection with automatic scale selection, IJCV 1998;30:79-116,
#: doi 10.1023/A:1008045108935).
_SIGMAS_PX = 2.0 ** np.arange(0.25, 1.76, 0.25)
_OCTAVES = 5
#: Responses of blank glass are lower, OD.
_LEAST_RESPONSE_OD = np.float32(0.004)
#: Least ratio of the two curvatures of a blob: under it, it is an edge or a fibre.
_LEAST_ROUNDNESS = 0.35


@dataclass(frozen=True, slots=True)
class ScaleSettings:
    """Sizes that fit nuclei.

    Attributes
    ----------
    min_blob_um, max_blob_um
        Diameter of the blobs of haematoxylin, outside which an image is refused. 19 real pictures at the pixel size
        that fits them measure 2.6 µm (gaps between the membranes of a 3+ core) to 10.4 µm (out of focus), drawn ones
        5.7 to 6.7 µm; the measure is proportional to the pixel size: a tenth gives 1.0 µm or less, ten times 26 µm or
        more.
    warn_blob_um
        Diameter of these blobs above which there is a warning. 18 of the 19 measure 8.8 µm or less, the one out of
        focus 10.4 µm. With a pixel size 1.6 times as large, all seven breast fields in focus measure 9.9 to 14 µm and
        are warned of, and two of four cores; pictures of lymphocytes have 5.8 to 7.6 µm. The detector cannot tell: it
        looks for nuclei of the usual size and finds parts of larger ones.
    min_nucleus_um, max_nucleus_um
        Median diameter of the nuclei found, outside which there is a warning. Eight real pictures with tumour have 6.2
        to 7.2 µm at the pixel size that fits them, and 5.0 to 5.7 µm at 0.6 times that size; two of stroma and four
        with many lymphocytes have 4.9 to 5.6 µm at the size that fits and are warned of as well. Drawn fields have 7.0
        to 7.4 µm, and 4.1 to 5.8 µm with a pixel size half as large. Tumour cells alone, where the program looked for
        them: 6.0 to 7.8 µm in seven real pictures at the size that fits, 4.4 to 5.8 µm in seven at 0.6 times that size.
    """

    min_blob_um: Annotated[float, Range(0, 100, "µm")] = 1.6
    warn_blob_um: Annotated[float, Range(0.1, 1000, "µm")] = 9.5
    max_blob_um: Annotated[float, Range(0.1, 1000, "µm")] = 16.0
    min_nucleus_um: Annotated[float, Range(0, 100, "µm")] = 5.8
    max_nucleus_um: Annotated[float, Range(0.1, 1000, "µm")] = 11.5

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "min_blob_um", "warn_blob_um")
        check_order(self, "warn_blob_um", "max_blob_um", is_strict=False)
        check_order(self, "min_nucleus_um", "max_nucleus_um")


@dataclass(frozen=True, slots=True)
class ScaleDoubt:
    """Nuclei that do not fit the pixel size.

    Attributes
    ----------
    nucleus_um
        How wide nuclei would be at the stated pixel size, µm.
    pixel_size_um, fitting_um
        The stated pixel size, and the one at which nuclei would have their usual size, µm.
    """

    nucleus_um: float
    pixel_size_um: float
    fitting_um: float

    def sentence(self) -> str:
        """Return a warning with both pixel sizes and the way out."""
        return (
            f"{DOUBT}{self.nucleus_um:.1f} µm wide at {self.pixel_size_um:g} µm per pixel; about "
            f"{self.fitting_um:.2g} µm per pixel fits, unless these are no tumour cells. Check the pixel size in "
            "QuPath (Image tab), or pass --pixel-size-um."
        )


def blob_diameter_um(
    slide: Slide, samples: Sequence[Sample], grid: Grid, stains: StainVectors, pixel_size_um: float
) -> float | None:
    """Return the diameter of the round blobs of haematoxylin of an image.

    Each is a maximum over space and scale; the median weights them by their area and by their strength squared, so that
    neither noise nor chromatin decides.

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
        µm, in steps of a quarter octave, between 4 and 76 level-0 pixels; None without samples, or where they show
        no blobs (blank glass).

    Raises
    ------
    ImageReadError
        When the file is damaged or gone.
    """
    if not samples:
        return None
    step = max(1, len(samples) // _MOST_WINDOWS)
    # QuPath's vectors, not those of the image, which are an estimate: the limits were found with these.
    tables = stain_tables(replace(QUPATH_H_DAB, background_rgb=stains.background_rgb))
    sigmas, responses = [], []
    for sample in samples[::step][:_MOST_WINDOWS]:
        x, y = _window_corner(sample, grid, slide)
        found = _blobs(_evidence(read_scaled(slide, x, y, _WINDOW_PX, _WINDOW_PX, 1.0), tables))
        sigmas.append(found[0])
        responses.append(found[1])
    sigma, response = np.concatenate(sigmas), np.concatenate(responses)
    if not len(sigma):
        return None
    order = np.argsort(sigma)
    weight = np.cumsum((response * sigma)[order] ** 2)
    median = sigma[order][np.searchsorted(weight, weight[-1] / 2)]
    # A disc answers most strongly at a sigma of its radius over the square root of two.
    return float(2 * np.sqrt(2) * median * pixel_size_um)


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


def _evidence(rgb: NDArray[np.uint8], tables: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return haematoxylin less DAB, OD, float32 (H, W)."""
    hematoxylin, dab = unmixed(np.ascontiguousarray(rgb), tables)
    dab = np.maximum(dab, 0)
    # As in the detection of nuclei: they are holes in DAB, and dense DAB must not outweigh them.
    hole = np.float32(0.5) * dab / (1 + dab / np.float32(0.35))
    return np.asarray(np.minimum(hematoxylin, np.float32(0.6)) - hole, np.float32)


def _blobs(plane: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return sigmas (px) and responses (OD) of all round bright blobs, each (N)."""
    sigmas: list[NDArray[np.float64]] = [np.zeros(0)]
    responses: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    for octave in range(_OCTAVES):
        blurred = np.empty((len(_SIGMAS_PX), *plane.shape), np.float32)
        cv2.GaussianBlur(plane, (0, 0), float(_SIGMAS_PX[0]), blurred[0])
        for k, (before, sigma) in enumerate(pairwise(_SIGMAS_PX), 1):
            # Squares of Gaussian sigmas add; each further blur is far narrower than the whole.
            cv2.GaussianBlur(blurred[k - 1], (0, 0), float(np.sqrt(sigma**2 - before**2)), blurred[k])
        steps = np.maximum(np.round(_SIGMAS_PX), 1).astype(np.int64)
        number, response = _round_peaks(blurred, blurred[:-1] - blurred[1:], steps)
        responses.append(response)
        sigmas.append(_SIGMAS_PX[number] * 2**octave)
        plane = np.asarray(cv2.pyrDown(plane), np.float32)
    return np.concatenate(sigmas), np.concatenate(responses)


@nb.njit(cache=True, nogil=True)
def _round_peaks(
    blurred: NDArray[np.float32], layers: NDArray[np.float32], steps: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the layer and the response of each round blob: a maximum over its 26 neighbours in `layers`, (K, H, W).

    `steps` are the distances (px) at which curvature is taken in each of the planes `blurred`.
    """
    n_layers, height, width = layers.shape
    number = np.empty(n_layers * height * width, np.int64)
    response = np.empty(n_layers * height * width, np.float32)
    highest, is_peak, n = np.empty(width + 2, np.float32), np.empty(width, np.bool_), 0
    for k in range(1, n_layers - 1):
        for y in range(height):
            # Beside the picture nothing is higher. Loops without branches are vectorised; they leave few pixels to the
            # last one.
            highest[:] = -np.inf
            for j in range(k - 1, k + 2):
                for row_y in range(max(y - 1, 0), min(y + 2, height)):
                    row = layers[j, row_y]
                    for x in range(width):
                        highest[x + 1] = max(highest[x + 1], row[x])
            here = layers[k, y]
            for x in range(width):
                around = max(highest[x], max(highest[x + 1], highest[x + 2]))
                is_peak[x] = (here[x] >= around) & (here[x] > _LEAST_RESPONSE_OD)
            for x in range(width):
                if not is_peak[x]:
                    continue
                if _roundness(blurred[k], y, x, steps[k]) > _LEAST_ROUNDNESS:
                    number[n], response[n] = k, here[x]
                    n += 1
    return number[:n].copy(), response[:n].copy()


@nb.njit(cache=True, nogil=True)
def _roundness(plane: NDArray[np.float32], y: int, x: int, step: int) -> float:
    """Return the smaller curvature over the larger one at a place, 0 where either is not that of a blob."""
    height, width = plane.shape
    up, down, left, right = (
        max(y - step, 0),
        min(y + step, height - 1),
        max(x - step, 0),
        min(x + step, width - 1),
    )
    middle = 2 * plane[y, x]
    xx = plane[y, left] + plane[y, right] - middle
    yy = plane[up, x] + plane[down, x] - middle
    xy = (plane[down, right] + plane[up, left] - plane[up, right] - plane[down, left]) / 4
    spread = math.sqrt((xx - yy) ** 2 + 4 * xy**2)
    small, large = xx + yy + spread, xx + yy - spread
    return small / min(large, -1e-9) if large < 0 and small < 0 else 0.0


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
    areas_um2: NDArray[np.float32], blobs_um: float | None, pixel_size_um: float, s: ScaleSettings
) -> ScaleDoubt | None:
    """Return the doubt where the nuclei found are too small or too large for the pixel size, else None.

    Parameters
    ----------
    areas_um2
        float32 (N), areas of the nuclei, µm²; NaN for a cell without nucleus.
    blobs_um
        From `blob_diameter_um`.
    pixel_size_um
        Pixel size of level 0 as stated, µm.
    s
        Sizes that fit nuclei.

    Returns
    -------
    ScaleDoubt | None
        None also where nuclei are few.
    """
    if not are_enough(areas_um2):
        return None
    diameter = float(2 * np.sqrt(np.nanmedian(areas_um2) / np.pi))
    if blobs_um is not None and blobs_um > s.warn_blob_um:
        # Of the two measures, the one that does not depend on what the detector can find.
        factor = _TYPICAL_BLOB_UM / blobs_um
    elif s.min_nucleus_um <= diameter <= s.max_nucleus_um:
        return None
    else:
        factor = (_TYPICAL_NUCLEUS_UM / diameter) ** (1 / _NUCLEUS_EXPONENT)
    return ScaleDoubt(_TYPICAL_NUCLEUS_UM / factor, pixel_size_um, pixel_size_um * factor)


def are_enough(areas_um2: NDArray[np.float32]) -> bool:
    """Return whether an image has nuclei enough to say something about its pixel size, by their areas as above."""
    return int(np.count_nonzero(~np.isnan(areas_um2))) >= _FEWEST_NUCLEI


def check_tumour_scale(doubt: ScaleDoubt | None, max_pixel_size_um: float) -> Refusal | None:
    """Return a refusal where pixels of the size that fits the tumour nuclei are too coarse for membranes, else None.

    A textbook 3+ field whose pixel size was stated as 0.46 µm, and is nearer to 0.7 µm by its nuclei, was scored 2+:
    membranes of that softness hold less brown in a pixel.

    Parameters
    ----------
    doubt
        From the nuclei of tumour cells alone.
    max_pixel_size_um
        Above which pixels are too coarse, µm.

    Returns
    -------
    Refusal | None
        Its code is ``pixel_size_implausible``.
    """
    if doubt is None or doubt.fitting_um <= max_pixel_size_um:
        return None
    return Refusal(
        "pixel_size_implausible",
        f"the nuclei of the tumour found would be {doubt.nucleus_um:.1f} µm wide at {doubt.pixel_size_um:g} µm per "
        f"pixel; about {doubt.fitting_um:.2g} µm per pixel fits, which is too coarse for membranes (limit "
        f"{max_pixel_size_um:g}). Check the pixel size in QuPath (Image tab); where it is right, draw Tumor regions: "
        "they are scored with a warning",
    )
