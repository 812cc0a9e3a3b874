"""Pyramid level and read window for a box in level-0 pixels, and resizing to the patch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["Window", "read_window", "resize_patch", "window_for"]

#: Memory for pixels while a large window is averaged down in strips, bytes.
_STRIP_BYTES = 96 << 20
#: A level whose pixel grid the box does not fit shifts the patch by up to half a level pixel. It is used only where
#: the patch is at least this many times coarser, so that the shift is at most 1/8 of a patch pixel.
_OFF_GRID = 4


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of a pyramid level.

    Attributes
    ----------
    level
        Index of the pyramid level.
    left, top, width, height
        The rectangle, px of the level.
    downsample
        Level-0 px per px of the level.
    shrink
        `shrink` x `shrink` level px are averaged into one while reading.
    """

    level: int
    left: int
    top: int
    width: int
    height: int
    downsample: float
    shrink: int = 1

    @property
    def area(self) -> int:
        """Number of level pixels."""
        return self.width * self.height

    @staticmethod
    def around(windows: Sequence[Window]) -> Window:
        """Return the smallest window that contains all of `windows`, which are of one level."""
        first = windows[0]
        left, top = min(w.left for w in windows), min(w.top for w in windows)
        right = max(w.left + w.width for w in windows)
        bottom = max(w.top + w.height for w in windows)
        return Window(first.level, left, top, right - left, bottom - top, first.downsample)

    def cut(self, pixels: NDArray[np.uint8], outer: Window) -> NDArray[np.uint8]:
        """Return this window's part of `pixels`, which were read for the window `outer`; a view."""
        y, x = self.top - outer.top, self.left - outer.left
        return pixels[y : y + self.height, x : x + self.width]


def window_for(slide: Slide, box: Sequence[int], side_px: int) -> Window:
    """Return the window to read for a patch of `side_px` x `side_px` that shows a box.

    The level is the coarsest that is at least as fine as the patch and whose pixel grid the box fits. For patches at
    least 4 times coarser than a level the grid does not matter.

    Parameters
    ----------
    slide
        An open image.
    box
        x, y, width, height, level-0 px.
    side_px
        Side of the patch, px.

    Returns
    -------
    Window
        At least 1 x 1 px of a level.
    """
    x, y, width, height = box
    downsample = max(1.0, min(width, height) / side_px)
    level = 0
    for number, step in enumerate(slide.level_downsamples):
        is_whole = slide.level_is_exact[number] and float(step).is_integer()
        fits = is_whole and not any(value % int(step) for value in box)
        if step <= downsample and (fits or step * _OFF_GRID <= downsample):
            level = number if step >= slide.level_downsamples[level] else level
    step = slide.level_downsamples[level]
    left, top = math.floor(x / step + 0.5), math.floor(y / step + 0.5)
    right, bottom = math.floor((x + width) / step + 0.5), math.floor((y + height) / step + 0.5)
    # A level's size is rounded down. A window that ends at the image's edge is cut to it, or a patch of the whole
    # image would get a white rim.
    level_width, level_height = slide.level_dimensions[level]
    right = min(right, level_width) if x + width <= slide.width else right
    bottom = min(bottom, level_height) if y + height <= slide.height else bottom
    wide, high = max(1, right - left), max(1, bottom - top)
    # Where the level is far finer than the patch, average in two steps, the first by whole px in strips: a whole
    # slide at level 0 would not fit into memory. A rest of 8 times the patch size leaves the second step exact enough.
    shrink = max(1, min(wide, high) // (8 * side_px)) if 3 * wide * high > _STRIP_BYTES else 1
    return Window(level, left, top, wide, high, step, shrink)


def read_window(slide: Slide, window: Window) -> NDArray[np.uint8]:
    """Return the RGB pixels of a window, uint8 (height // shrink, width // shrink, 3); raises ImageReadError."""
    if window.shrink == 1:
        return _read(slide, window, window.top, window.height)
    columns, rows = window.width // window.shrink, window.height // window.shrink
    at_once = max(1, _STRIP_BYTES // (3 * window.width * window.shrink))
    strips = []
    for row in range(0, rows, at_once):
        n = min(at_once, rows - row)
        strip = _read(slide, window, window.top + row * window.shrink, n * window.shrink)
        strip = strip[:, : columns * window.shrink]
        strips.append(cv2.resize(strip, (columns, n), interpolation=cv2.INTER_AREA))
    return cast("NDArray[np.uint8]", np.concatenate(strips))


def _read(slide: Slide, window: Window, top: int, height: int) -> NDArray[np.uint8]:
    x, y = round(window.left * window.downsample), round(top * window.downsample)
    return slide.read(x, y, window.width, height, window.level)


def resize_patch(pixels: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Resize pixels to `side_px` x `side_px`: area averaging to shrink, bilinear to enlarge.

    Parameters
    ----------
    pixels
        uint8 (H, W, 3) RGB.
    side_px
        Side of the result, px.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (side_px, side_px, 3) RGB; `pixels` itself if it has that size already.
    """
    height, width = pixels.shape[:2]
    if height == width == side_px:
        return pixels
    # Area averaging, unlike bilinear sampling, skips no pixel when shrinking: thin membranes do not alias.
    shrinks = min(height, width) >= side_px
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cast("NDArray[np.uint8]", cv2.resize(pixels, (side_px, side_px), interpolation=interpolation))
