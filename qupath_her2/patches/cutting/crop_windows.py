"""Windows as Saha & Chakraborty cut them: crops of an image, and windows of each crop, remainders dropped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError
from qupath_her2.patches.cutting.grid import PatchScale, grid_boxes

__all__ = ["PAPER_CROP_PX", "PAPER_WINDOW_PX", "crop_windows"]

#: Saha & Chakraborty, IEEE TIP 27(5), 2018, doi 10.1109/TIP.2018.2795742, sections III.A and III.B.
PAPER_CROP_PX = 2048
PAPER_WINDOW_PX = 251


def crop_windows(
    width: int, height: int, *, window: int = PAPER_WINDOW_PX, crop: int = PAPER_CROP_PX
) -> NDArray[np.int32]:
    """Return windows left to right and top down, without overlap, crop after crop.

    What is left at the right and lower edge of the image, less than a crop, is dropped, and so is what is left of
    a crop, less than a window: 64 windows of 251 px cover 2008 of a crop's 2048 px. The paper chose its crops by
    hand; a lattice of them is ours.

    Parameters
    ----------
    width, height
        Of the image, level-0 px.
    window, crop
        Sides, level-0 px: at another scale than the image's multiply both by the downsample. A crop of 0
        takes the image as one crop.

    Returns
    -------
    NDArray[np.int32]
        int32 (N, 4), left, top, width, height, level-0 px; none where the image is smaller than a crop.

    Raises
    ------
    SettingsError
        A window is under 8 px or larger than a crop.
    """
    if window < 8 or crop < 0 or (crop and window > crop):
        raise SettingsError(
            f"Windows of {window} px in crops of {crop} px: a window has at least 8 px and fits into a crop; the "
            f"paper's are {PAPER_WINDOW_PX} in {PAPER_CROP_PX}, and a crop of 0 takes the whole image."
        )
    if crop == 0:
        return _lattice(width, height, window)
    corners = _lattice(width, height, crop)
    within = _lattice(crop, crop, window)
    windows = np.tile(within, (len(corners), 1))
    windows[:, :2] += np.repeat(corners[:, :2], len(within), axis=0)
    return windows


def _lattice(width: int, height: int, side: int) -> NDArray[np.int32]:
    return grid_boxes(width, height, (0, 0, width, height), PatchScale(side, side, np.nan))
