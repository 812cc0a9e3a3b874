"""Patches that show too little tissue, or dirt and ink: the papers' rules, pixel by pixel.

Bright: Joshi et al., ETASR 2025: grey values from 180 to 255 over 60 % of the patch or more.
White, black: Chauhan et al. 2025: white pixels over 70 %, black pixels over 20 %. The paper does not say which pixels
are white and black; the values here are those of the CLAM pipeline it stands on: all three channels above 220, below
20.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError

__all__ = ["DROP_RULES", "DropSettings", "PixelShares", "drop_causes", "pixel_shares"]


@dataclass(frozen=True, slots=True)
class DropSettings:
    """Which patches are dropped; a limit of 0 switches its rule off.

    Attributes
    ----------
    bright_share
        Dropped from this share of pixels with grey values `bright_from`..255 on.
    bright_from
        Grey value, 0..255 (ITU-R BT.601 luma, rounded).
    white_share
        Dropped above this share of pixels with all channels above `white_above`.
    white_above
        0..254.
    black_share
        Dropped above this share of pixels with all channels below `black_below`.
    black_below
        1..255.
    """

    bright_share: float = 0.0
    bright_from: int = 180
    white_share: float = 0.7
    white_above: int = 220
    black_share: float = 0.2
    black_below: int = 20

    def __post_init__(self) -> None:
        for name in ("bright_share", "white_share", "black_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(
                    f"{name} is {getattr(self, name):g}; it is a share of the pixels, 0 to 1 (0: off)."
                )
        for name in ("bright_from", "white_above", "black_below"):
            if not 0 <= getattr(self, name) <= 255:
                raise SettingsError(f"{name} is {getattr(self, name)}; grey values are 0 to 255.")

    @property
    def needs_pixels(self) -> bool:
        """True where any rule is on."""
        return max(self.bright_share, self.white_share, self.black_share) > 0


#: The papers' sets of rules by name.
DROP_RULES: dict[str, DropSettings] = {
    "none": DropSettings(white_share=0.0, black_share=0.0),
    "bright": DropSettings(bright_share=0.6, white_share=0.0, black_share=0.0),
    "white-black": DropSettings(white_share=0.7, black_share=0.2),
}


@dataclass(frozen=True, slots=True)
class PixelShares:
    """Of n patches, the share of bright, white and black pixels: float64 (n,) each, 0..1; 0 where the rule is off."""

    bright: NDArray[np.float64]
    white: NDArray[np.float64]
    black: NDArray[np.float64]


def pixel_shares(patches: NDArray[np.uint8], settings: DropSettings) -> PixelShares:
    """Count bright, white and black pixels.

    Parameters
    ----------
    patches
        uint8 (n, H, W, 3) RGB.
    settings
        Which pixels are which.
    """
    n, height, width = patches.shape[:3]
    # One tall image: OpenCV's cost per call is as high as that of a small patch.
    tall = np.ascontiguousarray(patches).reshape(n * height, width, 3)

    def share(is_on: bool, low: int, high: int, channels: int) -> NDArray[np.float64]:
        if not is_on or tall.size == 0:
            return np.zeros(n)
        image = cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY) if channels == 1 else tall
        masks = cv2.inRange(image, (low,) * channels, (high,) * channels).reshape(n, height, width)
        counts: NDArray[np.float64] = np.array([cv2.countNonZero(mask) for mask in masks], np.float64)
        shares: NDArray[np.float64] = counts / float(height * width)
        return shares

    return PixelShares(
        bright=share(settings.bright_share > 0, settings.bright_from, 255, 1),
        white=share(settings.white_share > 0, settings.white_above + 1, 255, 3),
        black=share(settings.black_share > 0, 0, settings.black_below - 1, 3),
    )


def drop_causes(shares: PixelShares, settings: DropSettings) -> NDArray[np.str_]:
    """Return why each patch is dropped: ``bright``, ``white`` or ``black``, the first that holds; empty to keep it.

    Parameters
    ----------
    shares
        From `pixel_shares`.
    settings
        The limits.
    """
    # A limit of 0 is "off", not "nothing may be white".
    bright = (settings.bright_share > 0) & (shares.bright >= settings.bright_share)
    white = (settings.white_share > 0) & (shares.white > settings.white_share)
    black = (settings.black_share > 0) & (shares.black > settings.black_share)
    return np.select([bright, white, black], ["bright", "white", "black"], "")
