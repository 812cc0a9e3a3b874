"""Contrast-limited adaptive histogram equalisation of patches, by OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.setting_ranges import Range, check_settings

__all__ = ["ClaheSettings", "apply_clahe"]


@dataclass(frozen=True, slots=True)
class ClaheSettings:
    """Contrast-limited adaptive histogram equalisation of the lightness (CIE L*) of each patch.

    The low-resolution study (Chauhan et al. 2025) uses CLAHE without stating its values; these are the ones usual
    with OpenCV. Each patch is stretched by itself, so a pale 2+ may come out as dark as a 3+: off by default.

    Attributes
    ----------
    clip_limit
        Contrast limit.
    tiles
        The histogram is apply_clahe in `tiles` x `tiles` tiles of the patch.
    """

    clip_limit: Annotated[float, Range(0, 256, is_open="low")] = 2.0
    tiles: Annotated[int, Range(1, 64, "tiles")] = 8

    def __post_init__(self) -> None:
        check_settings(self)


def apply_clahe(rgb: NDArray[np.uint8], settings: ClaheSettings) -> NDArray[np.uint8]:
    """Equalise the lightness of a patch and leave its colour as it is.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3) RGB.
    settings
        Contrast limit and tiles.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W, 3) RGB.
    """
    # One object per call: OpenCV's CLAHE is not safe to share between threads.
    clahe = cv2.createCLAHE(settings.clip_limit, (settings.tiles, settings.tiles))
    # CIE L*a*b* separates lightness from colour; equalising R, G and B would shift brown and blue against each other.
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lab[..., 0] = clahe.apply(np.ascontiguousarray(lab[..., 0]))
    return cast("NDArray[np.uint8]", cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
