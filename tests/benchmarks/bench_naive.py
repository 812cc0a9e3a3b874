# mypy: disable-error-code="no-untyped-call"
"""A typical pipeline with scikit-image, the peer of `bench_cells`: plainly written and not tuned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import regionprops_table
from skimage.morphology import remove_small_objects
from skimage.segmentation import expand_labels, watershed

__all__ = ["naive_cells"]


def naive_cells(rgb: NDArray[np.uint8], um_px: float) -> int:
    """Find nuclei, expand them to cells, grade the mean DAB of their rims into four classes; return their number.

    Parameters
    ----------
    rgb : uint8 (H, W, 3). um_px : µm/px.
    """
    stains = rgb2hed(rgb)
    haematoxylin = gaussian(stains[..., 0], 0.75 / um_px)
    mask = remove_small_objects(haematoxylin > threshold_otsu(haematoxylin), max_size=int(10 / um_px**2))
    depth = gaussian(ndimage.distance_transform_edt(mask), 0.5 / um_px)
    peaks = peak_local_max(depth, min_distance=round(2.5 / um_px), labels=mask)
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    nuclei = watershed(-depth, markers, mask=mask)
    cells = expand_labels(nuclei, 4 / um_px)
    # The rim is the part of a cell that an erosion by 1.25 µm removes.
    rim = cells * (ndimage.grey_erosion(cells, size=2 * round(1.25 / um_px) + 1) != cells)
    table = regionprops_table(
        cells, stains[..., 2], properties=("label", "area", "centroid", "intensity_mean")
    )
    rims = regionprops_table(rim, stains[..., 2], properties=("label", "intensity_mean"))
    np.digitize(rims["intensity_mean"], (0.03, 0.1, 0.3))
    return len(table["label"])
