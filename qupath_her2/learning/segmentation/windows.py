"""Sliding windows over a slide of any size, and the weights with which their outputs are blended.

The lattice of windows starts at the corner of the image, not of a tile, so that a pixel is always covered by the same
windows. The output of a window has full weight in its middle and none at its rim, where the network lacks context; in
between, a raised cosine hands over to the neighbour. The weights of all windows add up to 1 at every pixel.

Own code: MONAI's sliding windows start at the corner of the array they are given, so that neighbouring tiles of a slide
would disagree at their seams.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qupath_her2.models.settings import SegmentSettings

__all__ = ["WindowLattice", "reflected_indices", "window_lattice"]


@dataclass(frozen=True, slots=True)
class WindowLattice:
    """Windows along one axis: number k covers the pixels from `stride` * k to `stride` * k + `side`.

    `weight` float32 (side), 0..1, is the weight of a window's output along the axis.
    """

    side: int
    stride: int
    weight: NDArray[np.float32]

    def covering(self, low: int, high: int) -> range:
        """Return the numbers of the windows with a weight above 0 anywhere in the pixels `low` to `high` - 1."""
        # The rim, of weight 0, does not count: windows that reach a pixel only with it need not be computed.
        used = np.flatnonzero(self.weight)
        first = math.ceil((low - int(used[-1])) / self.stride)
        last = math.floor((high - 1 - int(used[0])) / self.stride)
        return range(first, last + 1)


def window_lattice(side_px: int, settings: SegmentSettings) -> WindowLattice:
    """Return the lattice of windows of `side_px` along an axis."""
    shared = math.floor(side_px * settings.overlap_share)
    rim = min(math.floor(side_px * settings.rim_share), shared // 2)
    along = (np.arange(shared, dtype=np.float64) - rim + 0.5) / max(shared - 2 * rim, 1)
    rise = np.sin(np.pi / 2 * np.clip(along, 0, 1)) ** 2
    weight = np.ones(side_px)
    weight[:shared] = rise
    # 1 - rise, instead of the reversed rise that it equals, so that rounding leaves the sum at exactly 1.
    weight[side_px - shared :] = 1 - rise
    return WindowLattice(side_px, side_px - shared, weight.astype(np.float32))


def reflected_indices(low: int, high: int, size: int) -> NDArray[np.int64]:
    """Return the pixel indices of an axis for the range `low` to `high` - 1, reflected at the edges of the image.

    Reflection continues the tissue; with a white border, cells at the edge would look like cells at the edge of glass.

    Parameters
    ----------
    low, high
        Range of pixels, may extend beyond the image on either side.
    size
        Length of the axis, px.

    Returns
    -------
    NDArray[np.int64]
        int64 (high - low,), in 0 .. size - 1.
    """
    # A reflected axis repeats after twice its length; the modulo is never negative in numpy.
    place = np.arange(low, high) % (2 * size)
    return np.where(place < size, place, 2 * size - 1 - place)
