"""Targets from mask images next to the slides, whose grey values or colours encode the class of each pixel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.targets.targets import BACKGROUND, IGNORE, MEMBRANE, NUCLEUS, TargetFrame
from qupath_her2.setting_ranges import Range, Text, check_settings

__all__ = ["MaskSettings", "mask_path", "mask_target", "read_mask"]

_GREY = 0x010101


#: Grey value or colour of a mask.
MaskValue: TypeAlias = (
    Annotated[int, Range(0, 255, "(a grey value)")]
    | Annotated[str, Text("a colour like #ff0000", "#[0-9a-fA-F]{6}")]
)


@dataclass(frozen=True, slots=True)
class MaskSettings:
    """File names of masks, and the meaning of their values.

    Attributes
    ----------
    suffix
        Suffix of the mask's file name, in place of the image's: ``case07.tif``, ``case07_mask.png``.
    background, membrane, nucleus, ignore
        Values of each class: grey values, or colours ``#rrggbb``; grey value 1 is the same as ``#010101``.
        Figure 6 of Saha & Chakraborty (IEEE TIP 27(5), 2018) shows membranes as ``#ff0000``, nuclei as ``#00ff00``
        and background as ``#000000``.
    """

    suffix: Annotated[str, Text("the end of a file name, as _mask.png", r"[^\x00-\x1f/\\\\]{1,100}")] = (
        "_mask.png"
    )
    background: tuple[MaskValue, ...] = (0,)
    membrane: tuple[MaskValue, ...] = (1,)
    nucleus: tuple[MaskValue, ...] = (2,)
    ignore: tuple[MaskValue, ...] = (255,)

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.suffix.lower().endswith(".png"):
            raise SettingsError(
                f"suffix is {self.suffix!r}, but masks must be PNG files, since JPEG changes values. "
                "Try _mask.png."
            )
        # Compared as colours, since 0 and "#000000" are the same value.
        values = [*self.background, *self.membrane, *self.nucleus, *self.ignore]
        if len({_colour(value) for value in values}) < len(values):
            raise SettingsError(
                f"A mask value is listed twice or for two classes: {', '.join(map(str, values))}. List each value once."
            )

    def codes(self) -> dict[int, int]:
        """Return {colour as 0xrrggbb: class code}."""
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
    """Return the path of an image's mask, whether or not the file exists."""
    return image.with_name(image.stem + (settings or MaskSettings()).suffix)


def read_mask(
    path: Path, settings: MaskSettings | None = None, *, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Read a whole mask.

    Parameters
    ----------
    path
        8-bit PNG file: grey, palette or RGB; an alpha channel is ignored.
    settings
        Meaning of the values.
    size
        Required width and height, those of the image at level 0; None accepts any.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W): `BACKGROUND`, `MEMBRANE`, `NUCLEUS`, `IGNORE`.

    Raises
    ------
    PatchError
        The file cannot be read, differs from the image in size, or has a value without a meaning.
    """
    colours = _read_colours(path)
    height, width = colours.shape
    if size is not None and size != (width, height):
        raise PatchError(
            f"Mask '{path}' is {width} x {height} px but its image is {size[0]} x {size[1]} px. Save the mask at the "
            "image's size."
        )
    # One comparison per value and not a lookup table: a table of all colours would have 16 million entries.
    codes = (settings or MaskSettings()).codes()
    target = np.empty((height, width), np.uint8)
    is_known = np.zeros((height, width), bool)
    for colour, code in codes.items():
        same = colours == colour
        target[same] = code
        is_known |= same
    # An unlisted value is an error and not "unknown": it is usually a mask saved with other colours or with
    # antialiasing.
    if not is_known.all():
        row, column = np.argwhere(~is_known)[0]
        known = ", ".join(f"#{colour:06x}" for colour in codes)
        raise PatchError(
            f"Mask '{path}' has #{colours[row, column]:06x} at pixel ({column}, {row}), and "
            f"{np.count_nonzero(~is_known)} pixels in all have no meaning; the known values are {known}. Add the value "
            "to the mask settings, for instance to ignore."
        )
    return target


def _read_colours(path: Path) -> NDArray[np.uint32]:
    """Return 0xrrggbb of each pixel, uint32 (H, W)."""
    # cv2.imread fails on non-ASCII paths on Windows; decoding from memory does not.
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise PatchError(f"Mask '{path}' cannot be read ({error}). Put it next to its image.") from error
    found = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if found is None or found.dtype != np.uint8:
        what = "is not an image" if found is None else f"has {found.dtype.itemsize * 8} bits per value"
        raise PatchError(f"Mask '{path}' {what}. Save it as an 8-bit PNG.")
    pixels = cast("NDArray[np.uint8]", found).astype(np.uint32)
    # OpenCV returns BGR or BGRA, and one channel for a grey file; palettes are already resolved.
    if pixels.ndim == 2:
        return pixels * np.uint32(_GREY)
    blue, green, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return (red << np.uint32(16)) | (green << np.uint32(8)) | blue


def mask_target(mask: NDArray[np.uint8], frame: TargetFrame) -> NDArray[np.uint8]:
    """Return the part of a mask that belongs to a window.

    Each pixel takes the value under its centre (nearest neighbour), since class codes cannot be averaged.

    Parameters
    ----------
    mask
        uint8 (H0, W0), mask of the whole image at level 0, from `read_mask`.
    frame
        The window.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W): `BACKGROUND`, `MEMBRANE`, `NUCLEUS`, `IGNORE`; `IGNORE` outside the image.
    """
    rows = np.floor(frame.y + (np.arange(frame.height_px) + 0.5) * frame.downsample).astype(int)
    columns = np.floor(frame.x + (np.arange(frame.width_px) + 0.5) * frame.downsample).astype(int)
    height, width = mask.shape
    # Clipped to read any pixel at all; the clipped ones are then marked as unknown.
    y, x = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    target = mask[np.ix_(y, x)]
    target[rows != y] = IGNORE
    target[:, columns != x] = IGNORE
    return target
