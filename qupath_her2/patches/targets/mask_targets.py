"""Targets from mask pictures that lie beside the images: each pixel's grey value or colour says what it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.targets.targets import BACKGROUND, IGNORE, MEMBRANE, NUCLEUS, TargetFrame

__all__ = ["MaskSettings", "mask_path", "mask_target", "read_mask"]

_GREY = 0x010101


@dataclass(frozen=True, slots=True)
class MaskSettings:
    """Where masks lie and what their values mean.

    Attributes
    ----------
    suffix
        Of the mask's file name, after the image's without its own: ``case07.tif``, ``case07_mask.png``.
    background, membrane, nucleus, ignore
        Values of each: a grey value 0..255, or a colour ``#rrggbb``; a grey
        value and the colour of three such are the same. Figure 6 of Saha & Chakraborty (IEEE TIP 27(5), 2018)
        draws membranes ``#ff0000``, nuclei ``#00ff00``, background ``#000000``.
    """

    suffix: str = "_mask.png"
    background: tuple[int | str, ...] = (0,)
    membrane: tuple[int | str, ...] = (1,)
    nucleus: tuple[int | str, ...] = (2,)
    ignore: tuple[int | str, ...] = (255,)

    def __post_init__(self) -> None:
        if not self.suffix.lower().endswith(".png"):
            raise SettingsError(
                f"Masks end in {self.suffix!r}; only PNG is read, as JPEG changes values. Try _mask.png."
            )
        values = [*self.background, *self.membrane, *self.nucleus, *self.ignore]
        if len({_colour(value) for value in values}) < len(values):
            raise SettingsError(
                f"A mask value means two things or stands twice: {', '.join(map(str, values))}."
            )

    def codes(self) -> dict[int, int]:
        """Return {colour as 0xrrggbb: what it means}."""
        meant = (
            (BACKGROUND, self.background),
            (MEMBRANE, self.membrane),
            (NUCLEUS, self.nucleus),
            (IGNORE, self.ignore),
        )
        return {_colour(value): code for code, values in meant for value in values}


def _colour(value: int | str) -> int:
    if isinstance(value, int) and 0 <= value <= 255:
        return value * _GREY
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        return int(value[1:], 16)
    raise SettingsError(f"Mask value {value!r} is neither a grey value 0..255 nor a colour like '#ff0000'.")


def mask_path(image: Path, settings: MaskSettings | None = None) -> Path:
    """Return where the mask of an image lies, whether or not it does."""
    return image.with_name(image.stem + (settings or MaskSettings()).suffix)


def read_mask(
    path: Path, settings: MaskSettings | None = None, *, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Read a whole mask.

    Parameters
    ----------
    path
        PNG of 8 bits, grey, palette or RGB; transparency is not looked at.
    settings
        What the values mean.
    size
        Width and height the mask must have, the image's level 0; None takes any.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W): `BACKGROUND`, `MEMBRANE`, `NUCLEUS`, `IGNORE`.

    Raises
    ------
    PatchError
        The file cannot be read, has another size than the image, or holds a value without a meaning.
    """
    colours = _read_colours(path)
    height, width = colours.shape
    if size is not None and size != (width, height):
        raise PatchError(
            f"Mask '{path}' is {width} x {height} px and its image {size[0]} x {size[1]}; save it at the image's size."
        )
    codes = (settings or MaskSettings()).codes()
    target = np.empty((height, width), np.uint8)
    is_known = np.zeros((height, width), bool)
    for colour, code in codes.items():
        same = colours == colour
        target[same] = code
        is_known |= same
    if not is_known.all():
        row, column = np.argwhere(~is_known)[0]
        known = ", ".join(f"#{colour:06x}" for colour in codes)
        raise PatchError(
            f"Mask '{path}' holds #{colours[row, column]:06x} at pixel ({column}, {row}), and "
            f"{np.count_nonzero(~is_known)} pixels in all have no meaning; known are {known}. Name the value in the "
            "mask settings; ignore takes any number of them."
        )
    return target


def _read_colours(path: Path) -> NDArray[np.uint32]:
    """Return 0xrrggbb of each pixel, uint32 (H, W)."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise PatchError(f"Mask '{path}' cannot be read ({error}). Put it beside its image.") from error
    found = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if found is None or found.dtype != np.uint8:
        what = "is no picture" if found is None else f"has {found.dtype.itemsize * 8} bits a value"
        raise PatchError(f"Mask '{path}' {what}. Save it as a PNG of 8 bits.")
    pixels = cast("NDArray[np.uint8]", found).astype(np.uint32)
    if pixels.ndim == 2:
        return pixels * np.uint32(_GREY)
    blue, green, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return (red << np.uint32(16)) | (green << np.uint32(8)) | blue


def mask_target(mask: NDArray[np.uint8], frame: TargetFrame) -> NDArray[np.uint8]:
    """Return the part of a mask that a picture shows, uint8 (H, W); nothing is known outside the mask.

    Each pixel takes the value under its centre: values cannot be averaged.

    Parameters
    ----------
    mask
        uint8 (H0, W0), of the whole image at level 0, from `read_mask`.
    frame
        The picture.
    """
    rows = np.floor(frame.y + (np.arange(frame.height_px) + 0.5) * frame.downsample).astype(int)
    columns = np.floor(frame.x + (np.arange(frame.width_px) + 0.5) * frame.downsample).astype(int)
    height, width = mask.shape
    y, x = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    target = mask[np.ix_(y, x)]
    target[rows != y] = IGNORE
    target[:, columns != x] = IGNORE
    return target
