"""Intensity range of an image, fixed before its tiles are segmented."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.detection import Tile

__all__ = ["intensity_range", "scaled"]


def intensity_range(samples: Sequence[Tile], low_percent: float, high_percent: float) -> tuple[float, float]:
    """Return two percentiles of the RGB values of an image's sample tiles.

    Each tile scaled by percentiles of its own would be segmented differently from its neighbour, and a cell on their
    seam found twice or not at all; so the range is that of the image.

    Parameters
    ----------
    samples
        Evenly spread pieces of the image; none gives the full range.
    low_percent, high_percent
        0 to 100.

    Returns
    -------
    tuple[float, float]
        In 0..255, the second larger than the first.
    """
    if not samples:
        return 0.0, 255.0
    values = np.concatenate([sample.rgb.reshape(-1) for sample in samples])
    low, high = (float(value) for value in np.percentile(values, (low_percent, high_percent)))
    return (low, high) if high > low else (0.0, 255.0)


def scaled(rgb: NDArray[np.uint8], limits: tuple[float, float]) -> NDArray[np.float32]:
    """Return an RGB tile with `limits` mapped to 0 and 1, float32 of the same shape."""
    low, high = limits
    return (rgb.astype(np.float32) - np.float32(low)) / np.float32(high - low)
