"""Pictures changed as scanners, laboratories and wrong pixel sizes change them.

The tumour finder must not hang on the scale, the softness or the stain of the few pictures it was shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, unmix

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Change", "change_picture", "random_change"]


@dataclass(frozen=True, slots=True)
class Change:
    """How a picture is changed.

    Attributes
    ----------
    read_um_px
        The picture is resampled to this pixel size first, µm; it is not enlarged.
    declared
        Factor on the pixel size that is then stated.
    blur_um
        Sigma of a blur, µm.
    hematoxylin, dab
        Factors on the stains.
    gamma
        Tone curve.
    jpeg_quality
        None = no JPEG.
    """

    read_um_px: float = 0.0
    declared: float = 1.0
    blur_um: float = 0.0
    hematoxylin: float = 1.0
    dab: float = 1.0
    gamma: float = 1.0
    jpeg_quality: int | None = None


def random_change(rng: np.random.Generator) -> Change:
    """Return a change as laboratories and scanners make them: 0.25 to 0.8 µm/px, soft, pale, without DAB."""
    return Change(
        read_um_px=float(rng.choice([0.25, 0.35, 0.5, rng.uniform(0.4, 0.8)])),
        declared=float(np.exp(rng.uniform(np.log(0.8), np.log(1.3)))),
        blur_um=float(rng.choice([0.0, 0.0, rng.uniform(0.2, 0.7)])),
        hematoxylin=float(np.exp(rng.uniform(np.log(0.65), np.log(1.5)))),
        dab=float(rng.choice([1.0, 0.0, rng.uniform(0.2, 1.2)])),
        gamma=float(rng.uniform(0.9, 1.12)),
        jpeg_quality=int(rng.integers(60, 95)) if rng.random() < 0.6 else None,
    )


def change_picture(
    rgb: NDArray[np.uint8], um_px: float, change: Change, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], float]:
    """Change a picture.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    um_px
        Its pixel size, µm.
    change
        How it is changed.
    rng
        Of its noise.

    Returns
    -------
    changed : NDArray[np.uint8]
        The changed picture.
    factor : float
        From its pixels to those of the original.
    """
    factor = max(change.read_um_px / um_px, 1.0)
    height, width = (max(round(side / factor), 64) for side in rgb.shape[:2])
    picture = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    factor = rgb.shape[1] / width
    pixels = picture.reshape(-1, 3)
    brightness = pixels.sum(1)
    glass_rgb = np.median(pixels[brightness >= np.percentile(brightness, 99)], 0)
    glass = (float(glass_rgb[0]), float(glass_rgb[1]), float(glass_rgb[2]))
    stains = replace(QUPATH_H_DAB, background_rgb=glass)
    amounts = unmix(picture, stains)
    amounts[..., 0] *= np.float32(change.hematoxylin)
    # Only what is brown: negative amounts of DAB are blue, and must stay.
    amounts[..., 1] = np.where(amounts[..., 1] > 0, amounts[..., 1] * np.float32(change.dab), amounts[..., 1])
    density = amounts.reshape(-1, 3) @ stains.matrix().astype(np.float32)
    light = np.clip(10 ** -density.reshape(amounts.shape), 0, 1.1) ** np.float32(change.gamma)
    bright = np.clip(light * glass_rgb.astype(np.float32), 0, 255)
    if change.blur_um:
        bright = cv2.GaussianBlur(bright, (0, 0), change.blur_um / (um_px * factor))
    picture = np.rint(bright + rng.normal(0, 1.0, bright.shape)).clip(0, 255).astype(np.uint8)
    if change.jpeg_quality is not None:
        _, packed = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, change.jpeg_quality])
        unpacked = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
        picture = np.ascontiguousarray(unpacked[..., ::-1])
    return picture, factor
