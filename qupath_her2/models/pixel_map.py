"""Probability maps of a segmenter: the record handed from segmentation to the search for cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_DEVIATION", "PixelMap"]

#: The largest standard deviation of a value in 0..1: half of the samples 0, half of them 1.
LARGEST_DEVIATION = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class PixelMap:
    """Class probabilities of the pixels of a box.

    Attributes
    ----------
    probabilities
        uint8 (H, W, C), 255 = certain, in the order of `patches.targets.targets.TARGET_CLASSES`, or of
        `TUMOUR_TARGET_CLASSES` there where the network tells tumour cells from others.
    uncertainty
        uint8 (H, W), only from a Bayesian network: standard deviation over the dropout samples, root mean square over
        the classes, 255 = `LARGEST_DEVIATION`; else None.
    """

    probabilities: NDArray[np.uint8]
    uncertainty: NDArray[np.uint8] | None = None
