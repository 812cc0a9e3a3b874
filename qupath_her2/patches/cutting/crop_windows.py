"""Windows of Saha & Chakraborty: a grid of crops over the image and a grid of windows in each, remainders dropped."""

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
    """Return non-overlapping windows, left to right and top to bottom, crop by crop.

    Remainders smaller than a crop at the right and lower edge of the image are dropped, and so are remainders of a
    crop smaller than a window: 64 windows of 251 px cover 2008 of a crop's 2048 px. The paper's authors chose crops
    by hand; the grid of crops is ours.

    Parameters
    ----------
    width, height
        Size of the image, level-0 px.
    window, crop
        Sides, level-0 px; at a scale other than the image's multiply both by the downsample. A crop of 0 takes the
        image as one crop.

    Returns
    -------
    NDArray[np.int32]
        int32 (N, 4), left, top, width, height, level-0 px; N = 0 where the image is smaller than a crop.

    Raises
    ------
    SettingsError
        The window is smaller than 8 px or larger than the crop.
    """
    if window < 8 or crop < 0 or (crop and window > crop):
        raise SettingsError(
            f"Windows of {window} px do not fit crops of {crop} px. A window has at least 8 px and at most a crop's "
            f"side; the paper's are {PAPER_WINDOW_PX} in {PAPER_CROP_PX}. Set crop_px = 0 for windows of whole images."
        )
    if crop == 0:
        return _lattice(width, height, window)
    corners = _lattice(width, height, crop)
    # The windows of one crop, moved to the corner of each.
    within = _lattice(crop, crop, window)
    windows = np.tile(within, (len(corners), 1))
    windows[:, :2] += np.repeat(corners[:, :2], len(within), axis=0)
    return windows


def _lattice(width: int, height: int, side: int) -> NDArray[np.int32]:
    return grid_boxes(width, height, (0, 0, width, height), PatchScale(side, side, np.nan))
