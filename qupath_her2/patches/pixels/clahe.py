"""Contrast-limited adaptive histogram equalisation of patches, by OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError

__all__ = ["ClaheSettings", "equalised"]


@dataclass(frozen=True, slots=True)
class ClaheSettings:
    """Contrast-limited adaptive histogram equalisation of the lightness (CIE L*) of each patch.

    The low-resolution study (Chauhan et al. 2025) uses it and states no values; these are OpenCV's customary
    ones. Each patch is stretched on its own, so a pale 2+ may come out as dark as a 3+: off by default.

    Attributes
    ----------
    clip_limit
        Contrast limit, > 0.
    tiles
        The patch is divided into `tiles` x `tiles` fields.
    """

    clip_limit: float = 2.0
    tiles: int = 8

    def __post_init__(self) -> None:
        if not (self.clip_limit > 0 and self.tiles >= 1):
            raise SettingsError(
                f"CLAHE with clip_limit {self.clip_limit} and {self.tiles} tiles does nothing; "
                "both must be above 0. OpenCV's customary values are 2.0 and 8."
            )


def equalised(rgb: NDArray[np.uint8], settings: ClaheSettings) -> NDArray[np.uint8]:
    """Return a patch with its lightness equalised, its colours kept.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    settings
        Contrast limit and fields.
    """
    # One object a call: OpenCV's is not safe to share between threads.
    clahe = cv2.createCLAHE(settings.clip_limit, (settings.tiles, settings.tiles))
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lab[..., 0] = clahe.apply(np.ascontiguousarray(lab[..., 0]))
    return cast("NDArray[np.uint8]", cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
