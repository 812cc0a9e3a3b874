"""Drop rules for patches with too little tissue, or with dirt and ink, by their shares of bright and dark pixels.

Bright: Joshi et al., ETASR 2025: grey values of 180 to 255 in at least 60 % of the patch.
White, black: Chauhan et al. 2025: more than 70 % white or more than 20 % black pixels. The paper does not define white
and black; the values here are those of the CLAM pipeline that it builds on: all three channels above 220, or below 20.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.setting_ranges import Range, Share, check_settings

__all__ = ["DROP_RULES", "DropSettings", "PixelShares", "drop_causes", "pixel_shares"]


@dataclass(frozen=True, slots=True)
class DropSettings:
    """Limits of the drop rules; a share of 0 switches its rule off.

    Attributes
    ----------
    bright_share
        Drop patches with at least this share of pixels of grey value `bright_from`..255.
    bright_from
        Grey value (ITU-R BT.601 luma, rounded).
    white_share
        Drop patches with more than this share of pixels whose channels are all above `white_above`.
    white_above
        Channel value.
    black_share
        Drop patches with more than this share of pixels whose channels are all below `black_below`.
    black_below
        Channel value.
    """

    bright_share: Share = 0.0
    bright_from: Annotated[int, Range(0, 255)] = 180
    white_share: Share = 0.7
    white_above: Annotated[int, Range(0, 254)] = 220
    black_share: Share = 0.2
    black_below: Annotated[int, Range(1, 255)] = 20

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def needs_pixels(self) -> bool:
        """True if any rule is on."""
        return max(self.bright_share, self.white_share, self.black_share) > 0


#: Published sets of rules by the value of ``--drop``.
DROP_RULES: dict[str, DropSettings] = {
    "none": DropSettings(white_share=0.0, black_share=0.0),
    "bright": DropSettings(bright_share=0.6, white_share=0.0, black_share=0.0),
    "white-black": DropSettings(white_share=0.7, black_share=0.2),
}


# Shares are measured apart from the limits, so that one reading of the pixels serves any limits.
@dataclass(frozen=True, slots=True)
class PixelShares:
    """Shares of bright, white and black pixels of n patches: float64 (n,) each, 0..1; 0 where the rule is off."""

    bright: NDArray[np.float64]
    white: NDArray[np.float64]
    black: NDArray[np.float64]


def pixel_shares(patches: NDArray[np.uint8], settings: DropSettings) -> PixelShares:
    """Measure the shares of bright, white and black pixels.

    Parameters
    ----------
    patches
        uint8 (n, H, W, 3) RGB.
    settings
        Pixel values that count as bright, white and black.

    Returns
    -------
    PixelShares
        One share per patch and rule.
    """
    n, height, width = patches.shape[:3]
    # Stacked into one tall image: for patches this small OpenCV's overhead per call dominates.
    tall = np.ascontiguousarray(patches).reshape(n * height, width, 3)

    def _share(is_on: bool, low: int, high: int, channels: int) -> NDArray[np.float64]:
        # `low` and `high` are inclusive, and hold for every channel.
        if not is_on or tall.size == 0:
            return np.zeros(n)
        image = cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY) if channels == 1 else tall
        masks = cv2.inRange(image, (low,) * channels, (high,) * channels).reshape(n, height, width)
        counts: NDArray[np.float64] = np.array([cv2.countNonZero(mask) for mask in masks], np.float64)
        shares: NDArray[np.float64] = counts / float(height * width)
        return shares

    return PixelShares(
        bright=_share(settings.bright_share > 0, settings.bright_from, 255, 1),
        white=_share(settings.white_share > 0, settings.white_above + 1, 255, 3),
        black=_share(settings.black_share > 0, 0, settings.black_below - 1, 3),
    )


def drop_causes(shares: PixelShares, settings: DropSettings) -> NDArray[np.str_]:
    """Return the rule by which each patch is dropped.

    Parameters
    ----------
    shares
        Shares of n patches, from `pixel_shares`.
    settings
        The limits.

    Returns
    -------
    NDArray[np.str_]
        (n,), ``bright``, ``white`` or ``black``, the first rule that applies; empty for patches to keep.
    """
    # A share of 0 means "off", not "no white pixel allowed".
    bright = (settings.bright_share > 0) & (shares.bright >= settings.bright_share)
    white = (settings.white_share > 0) & (shares.white > settings.white_share)
    black = (settings.black_share > 0) & (shares.black > settings.black_share)
    return np.select([bright, white, black], ["bright", "white", "black"], "")
