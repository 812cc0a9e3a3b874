"""Tissue by Otsu's threshold and a watershed, as Chauhan et al. 2025 separate slides from their background.

The paper names the steps (contrast enhancement, Gaussian blur, Otsu's threshold, watershed) and gives no numbers;
those here are our choice. `slides.tissue` keeps more of pale tissue and leaves out pen marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy import ndimage

from qupath_her2.slides.tissue import Tissue, TissueSettings, read_for_mask, without_dust

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.slides.readers.slide import Slide

__all__ = ["find_tissue_by_watershed"]

#: Clip limit and tiles of the contrast enhancement (CLAHE), and sigma of the blur in mask pixels.
_CLIP_LIMIT, _CLAHE_TILES, _BLUR_PX = 2.0, (8, 8), 2.0
#: Pixels at least this far inside the thresholded tissue, as a share of the largest distance, are certainly tissue.
_CORE_SHARE = 0.3
#: Width of the band around the thresholded tissue in which the watershed decides, mask pixels.
_BAND_PX = 7


def find_tissue_by_watershed(
    slide: Slide, *, pixel_size_um: float | None = None, settings: TissueSettings | None = None
) -> Tissue:
    """Detect tissue by contrast enhancement, blur, Otsu's threshold and a watershed.

    Parameters
    ----------
    slide
        An open image.
    pixel_size_um
        µm per level-0 px; None takes the file's own.
    settings
        Pixel size of the mask and smallest piece; the thresholds are not used.

    Returns
    -------
    Tissue
        The mask is empty where the image has one grey level only.

    Raises
    ------
    ImageReadError
        If the file cannot be read.
    """
    s = settings or TissueSettings()
    size_um = pixel_size_um or slide.pixel_size_um
    rgb, downsample = read_for_mask(slide, size_um, s)
    mask = without_dust(_watershed(rgb), (size_um * downsample) ** 2 if size_um else None, s)
    glass = rgb[~mask]
    white = np.median(glass, axis=0) if len(glass) else np.full(3, 255.0)
    red, green, blue = (float(value) for value in white)
    return Tissue(mask, downsample, (red, green, blue), slide.width, slide.height)


def _watershed(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if grey.min() == grey.max():
        return np.zeros(grey.shape, bool)
    grey = cv2.createCLAHE(_CLIP_LIMIT, _CLAHE_TILES).apply(grey)
    grey = cv2.GaussianBlur(grey, (0, 0), _BLUR_PX)
    _, dark = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    depth = cv2.distanceTransform(dark, cv2.DIST_L2, 5)
    band = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_BAND_PX, _BAND_PX))
    # Each piece has a core of its own: by the depth of the largest, small pieces would have none.
    n, pieces = cv2.connectedComponents(dark)
    deepest = np.asarray(ndimage.maximum(depth, pieces, range(n)), np.float32)
    is_core = (dark > 0) & (depth >= _CORE_SHARE * deepest[pieces])
    markers = np.zeros(grey.shape, np.int32)
    markers[cv2.dilate(dark, band) == 0] = 1
    markers[is_core] = 2
    labels = cv2.watershed(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), markers)
    # The watershed line (-1) lies on the tissue's edge, and counts as tissue where the threshold says so.
    return np.asarray((labels == 2) | ((labels == -1) & (dark > 0)))
