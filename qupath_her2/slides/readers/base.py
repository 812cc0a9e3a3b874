"""Base class of the slide readers: level-0 coordinates, white padding, pixel sizes and read errors."""

from __future__ import annotations

import math
import struct
import time
import zlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError, SettingsError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = [
    "DECODE_ERRORS",
    "BaseSlide",
    "checked_pixel_size",
    "read_error",
    "whole_downsample",
]

#: Raised by decoders on damaged files, because they index, unpack, divide and allocate by numbers from the file.
#: `SystemError` and `AttributeError` come from compiled codecs and lazily parsed tags.
DECODE_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    SystemError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def read_error(path: Path, why: object, way_out: str) -> ImageReadError:
    """Return an `ImageReadError` that names the file, the reason and the remedy.

    Parameters
    ----------
    path
        The image file.
    why
        The reason, as text or as the exception that was caught; its final full stop is dropped.
    way_out
        A sentence that tells the user what to do.

    Returns
    -------
    ImageReadError
        The error, not yet raised.
    """
    text = _reason(why) if isinstance(why, Exception) else str(why)
    return ImageReadError(f"Image '{path.name}' cannot be read: {text.rstrip('.')} ({path}). {way_out}")


def _reason(error: Exception) -> str:
    """Return what a decoder's exception says, in words that make sense to someone who only has the file."""
    text = str(error)
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    if text and isinstance(error, EOFError | OSError | SyntaxError | ValueError):
        return text
    # "unhashable type" or "division by zero" is not a reason, but helps whoever is asked for one.
    return f"its contents contradict each other ({type(error).__name__}{': ' if text else ''}{text})"


def checked_pixel_size(pixel_size_um: float | None) -> float | None:
    """Return the pixel size given by the user, µm, or None; SettingsError outside 0.01 to 100 µm."""
    if pixel_size_um is not None and not 0.01 <= pixel_size_um <= 100:
        raise SettingsError(
            f"--pixel-size-um {pixel_size_um:g} is not a plausible pixel size; it must lie between 0.01 and 100 µm. "
            "Typical values are 0.25 (40x) and 0.5 (20x)."
        )
    return pixel_size_um


def whole_downsample(full: tuple[int, int], level: tuple[int, int]) -> float:
    """Return the downsample factor of a pyramid level, corrected for the rounding of the level's size.

    A 46001 px wide image has an 11500 px level: the quotient is 4.0001, the true factor 4. QuPath rounds the same way.

    Parameters
    ----------
    full, level
        (width, height) in pixels.

    Returns
    -------
    float
        A whole number if the level's size differs from the exact quotient by less than a pixel, else the mean of both
        axes' quotients.
    """
    downsample = (full[0] / level[0] + full[1] / level[1]) / 2
    whole = round(downsample)
    # Writers floor, round or ceil the size of a level: all three differ from the exact quotient by less than 1 px.
    fits = all(abs(f / whole - n) < 1 for f, n in zip(full, level, strict=True)) if whole else False
    return float(whole) if fits else downsample


class BaseSlide(ABC):
    """An open image; `qupath_her2.slides.readers.slide.Slide` states the contract.

    Subclasses implement `_decode`, which must be safe to call from several threads at once.

    Attributes
    ----------
    path
        The file.
    reader
        Name of the reader.
    level_dimensions
        (width, height) of each level, finest first.
    level_downsamples
        Level-0 pixels per level pixel, rounded by `whole_downsample`.
    level_is_exact
        True for levels whose pixels lie on a whole-number grid of level 0, so that reading never interpolates.
    pixel_size_x_um, pixel_size_y_um
        From the file's metadata, µm; None if it states none.
    scan_offset_nm
        Centre of the scan from the centre of the glass slide, (x, y), nm; None if the file states none.
    notes
        Sentences for the user on how the file was read.
    read_s
        Seconds spent on reading and decoding so far, over all threads.
    """

    reader: str = ""
    scan_offset_nm: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        level_dimensions: tuple[tuple[int, int], ...],
        pixel_size_um: tuple[float | None, float | None] = (None, None),
        level_is_exact: tuple[bool, ...] | None = None,
        level_downsamples: tuple[float, ...] | None = None,
    ) -> None:
        self.path = path
        self.level_dimensions = level_dimensions
        full = level_dimensions[0]
        self.level_downsamples = level_downsamples or tuple(
            whole_downsample(full, size) for size in level_dimensions
        )
        self.level_is_exact = level_is_exact or tuple(d == int(d) for d in self.level_downsamples)
        self.pixel_size_x_um, self.pixel_size_y_um = pixel_size_um
        self._closed = False
        self.read_s = 0.0

    @property
    def width(self) -> int:
        """Width of level 0, px."""
        return self.level_dimensions[0][0]

    @property
    def height(self) -> int:
        """Height of level 0, px."""
        return self.level_dimensions[0][1]

    @property
    def pixel_size_um(self) -> float | None:
        """Mean of pixel width and height, µm; None unless the file states both."""
        if self.pixel_size_x_um is None or self.pixel_size_y_um is None:
            return None
        return (self.pixel_size_x_um + self.pixel_size_y_um) / 2

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> NDArray[np.uint8]:
        """Read a window of a pyramid level.

        Parameters
        ----------
        x, y
            Top-left corner, level-0 pixels; rounded to the nearest pixel of `level`.
        width, height
            Size in pixels of `level`.
        level
            Pyramid level; 0 is full resolution.

        Returns
        -------
        NDArray[np.uint8]
            uint8 (height, width, 3), RGB, owned by the caller; white outside the image and where it is transparent.

        Raises
        ------
        ImageReadError
            If the file is damaged, missing or closed, or the level does not exist.
        """
        if self._closed:
            raise read_error(self.path, "it has been closed", "Open it again.")
        if not 0 <= level < len(self.level_dimensions) or width < 1 or height < 1:
            raise read_error(
                self.path,
                f"there is no {width} × {height} px window of level {level}",
                f"Use levels 0 to {len(self.level_dimensions) - 1} and windows of at least 1 × 1 px.",
            )
        downsample = self.level_downsamples[level]
        # Floor of x + 0.5 rounds halves up at either sign; Python's round() would send them to the even neighbour,
        # and windows side by side would overlap or gap.
        left, top = math.floor(x / downsample + 0.5), math.floor(y / downsample + 0.5)
        level_width, level_height = self.level_dimensions[level]
        x0, x1 = max(left, 0), min(left + width, level_width)
        y0, y1 = max(top, 0), min(top + height, level_height)
        if x1 <= x0 or y1 <= y0:
            return np.full((height, width, 3), 255, np.uint8)
        # Readers decode only the part inside the level; the rest of the window stays white.
        start = time.perf_counter()
        try:
            pixels = self._decode(level, x0, y0, x1 - x0, y1 - y0)
        except ImageReadError:
            raise
        except DECODE_ERRORS as error:
            raise read_error(
                self.path,
                error or type(error).__name__,
                "The file may be damaged: copy or export it again.",
            ) from error
        self.read_s += time.perf_counter() - start
        if pixels.shape == (height, width, 3):
            return pixels
        out = np.full((height, width, 3), 255, np.uint8)
        out[y0 - top : y1 - top, x0 - left : x1 - left] = pixels
        return out

    @abstractmethod
    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return a newly allocated uint8 (height, width, 3) window that lies within the level; all in level pixels."""

    def close(self) -> None:
        """Release the file; later reads raise `ImageReadError`."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
