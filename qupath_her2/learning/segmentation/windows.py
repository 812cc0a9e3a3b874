"""Windows over a slide of any size, and how their answers are blended.

Windows lie on a lattice counted from the image's corner and not from a tile's, so that a place is always seen by the
same windows. What a window says counts fully in its middle, nothing at its rim, where it saw one side only, and goes
over to its neighbour by a raised cosine in between: at every place the weights add up to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qupath_her2.models.settings import SegmentSettings

__all__ = ["WindowLattice", "mirrored", "window_lattice"]


@dataclass(frozen=True, slots=True)
class WindowLattice:
    """Window k of an axis covers `stride` * k to `stride` * k + `side`, px; `weight` float32 (side), 0..1."""

    side: int
    stride: int
    weight: NDArray[np.float32]

    def covering(self, low: int, high: int) -> range:
        """Return the windows of one axis that say something about the pixels `low` to `high` - 1."""
        used = np.flatnonzero(self.weight)
        first = math.ceil((low - int(used[-1])) / self.stride)
        last = math.floor((high - 1 - int(used[0])) / self.stride)
        return range(first, last + 1)


def window_lattice(side_px: int, settings: SegmentSettings) -> WindowLattice:
    """Return where windows of `side_px` lie along an axis, and how much their pixels count."""
    shared = math.floor(side_px * settings.overlap_share)
    rim = min(math.floor(side_px * settings.rim_share), shared // 2)
    along = (np.arange(shared, dtype=np.float64) - rim + 0.5) / max(shared - 2 * rim, 1)
    rise = np.sin(np.pi / 2 * np.clip(along, 0, 1)) ** 2
    weight = np.ones(side_px)
    weight[:shared] = rise
    # The mirrored rise, as 1 - rise, so that rounding leaves their sum at 1.
    weight[side_px - shared :] = 1 - rise
    return WindowLattice(side_px, side_px - shared, weight.astype(np.float32))


def mirrored(low: int, high: int, size: int) -> NDArray[np.int64]:
    """Return the places of an axis of `size` px that stand for the pixels `low` to `high` - 1.

    Beyond its edges a image goes on as in a mirror: white ground is not what a network expects beside a cell.
    """
    place = np.arange(low, high) % (2 * size)
    return np.where(place < size, place, 2 * size - 1 - place)
