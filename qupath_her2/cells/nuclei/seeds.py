"""Nucleus seeds: blobs of nuclear evidence at several scales.

The determinant of the Hessian responds to round and oval blobs but not to ridges (membranes, fibres), because both
curvatures must be negative. It is computed at about 1 µm per pixel: nuclei are 5 to 15 µm wide, and the contours locate
them exactly afterwards.

Own code instead of `skimage.feature.blob_doh`, which approximates the derivatives by box filters and responds to dark
blobs as well.

References
----------
.. [1] Lindeberg T. "Feature detection with automatic scale selection." Int J Comput Vis 30:79-116, 1998.
   doi:10.1023/A:1008045108935
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.star_contours import FAST_MATH
from qupath_her2.cells.stain_planes import Plane, blur
from qupath_her2.setting_ranges import Density, Range, check_settings

__all__ = ["SeedSettings", "blob_response", "find_seeds"]


@dataclass(frozen=True, slots=True)
class SeedSettings:
    """Settings of the blob detector.

    Attributes
    ----------
    sigmas_um
        Scales, as Gaussian sigmas; a nucleus of radius r responds most at r / 1.41.
    min_response_od
        Weakest blob kept, OD. Deliberately low: a seed only proposes a nucleus, its contour decides.
    """

    # Radii of 0.4 to 14 µm.
    sigmas_um: Annotated[tuple[float, ...], Range(0.3, 10, "µm")] = (1.25, 1.75, 2.5)
    min_response_od: Density = 0.004

    def __post_init__(self) -> None:
        check_settings(self)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _raise_to_blobness(g: Plane, scale: float, response: Plane) -> None:
    """Raise `response` to the root of the Hessian's determinant of `g` times `scale`, at bright blobs, in place."""
    height, width = g.shape
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            xx = g[y, x - 1] - 2 * g[y, x] + g[y, x + 1]
            yy = g[y - 1, x] - 2 * g[y, x] + g[y + 1, x]
            # A positive trace is a dark blob (a hole); skipping it first saves the mixed derivative.
            if xx + yy >= 0:
                continue
            xy = (g[y + 1, x + 1] - g[y + 1, x - 1] - g[y - 1, x + 1] + g[y - 1, x - 1]) / 4
            determinant = xx * yy - xy * xy
            # Negative at saddles, about 0 along ridges.
            if determinant > 0:
                # The root has the unit of a second derivative, so that OD and not OD squared is thresholded.
                response[y, x] = max(response[y, x], scale * np.sqrt(determinant))


def blob_response(evidence: Plane, um_px: float, sigmas_um: tuple[float, ...]) -> Plane:
    """Return the blob response of each pixel, at half the resolution.

    Parameters
    ----------
    evidence
        float32 (H, W), larger inside a blob.
    um_px
        Its pixel size, µm.
    sigmas_um
        Scales, as Gaussian sigmas.

    Returns
    -------
    Plane
        float32 (ceil(H / 2), ceil(W / 2)), >= 0: root of the Hessian's determinant, scale-normalised, maximum over
        scales [1]_.
    """
    height, width = evidence.shape
    size = (-(-width // 2), -(-height // 2))
    half = cast(Plane, cv2.resize(evidence, size, interpolation=cv2.INTER_AREA))
    response = np.zeros_like(half)
    for sigma_um in sigmas_um:
        sigma_px = sigma_um / (2 * um_px)
        # Multiplying by sigma squared makes responses at different scales comparable (Lindeberg).
        _raise_to_blobness(blur(half, sigma_px), sigma_px**2, response)
    return response


def _vertex_offsets(
    response: Plane, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return how far the top of the parabola through each peak and its neighbours lies from it, x, y, (N, 2), pixels.

    Seeds on whole pixels would make the outlines depend on where the grid lies on the tissue.
    """
    height, width = response.shape
    here = response[rows, columns].astype(np.float64)
    offsets = []
    for before, after in (
        (response[rows, np.maximum(columns - 1, 0)], response[rows, np.minimum(columns + 1, width - 1)]),
        (response[np.maximum(rows - 1, 0), columns], response[np.minimum(rows + 1, height - 1), columns]),
    ):
        bend = 2 * here - before - after
        # A flat top has no vertex.
        slope = (after.astype(np.float64) - before) / 2
        offsets.append(np.divide(slope, bend, out=np.zeros_like(here), where=bend > 0))
    limited: NDArray[np.float64] = np.clip(np.stack(offsets, 1), -0.5, 0.5)
    return limited


def find_seeds(
    evidence: Plane, um_px: float, settings: SeedSettings | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Find the centres of bright blobs.

    Parameters
    ----------
    evidence
        float32 (H, W), haematoxylin minus weighted DAB, OD.
    um_px
        Its pixel size, µm.
    settings
        Scales and the weakest response.

    Returns
    -------
    tuple[NDArray[np.float32], NDArray[np.float32]]
        float32 (N, 2), x, y in pixels of `evidence`, and float32 (N), their responses; in raster order.
    """
    s = settings or SeedSettings()
    # Blurring the response merges the double peaks of elongated or vesicular nuclei.
    response = blur(blob_response(evidence, um_px, s.sigmas_um), 0.5 / um_px)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
    peaks = (response >= cv2.dilate(response, kernel)) & (response > s.min_response_od)
    rows, columns = np.nonzero(peaks)
    # Pixel centres of the half-size grid in pixels of the full one.
    centres = np.stack([columns * 2 + 0.5, rows * 2 + 0.5], 1) + 2 * _vertex_offsets(response, rows, columns)
    # Sixteenths of a pixel are exact in floating point wherever the tile begins.
    centres = np.round(centres * 16) / 16
    return centres.astype(np.float32), response[rows, columns].astype(np.float32)
