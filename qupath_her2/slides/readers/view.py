"""Cropped and rotated images, and pictures of files with several: what is shown where it is not the file as stored.

QuPath's regions and cells are in the coordinates of the view, so pixels are read in those coordinates too. The chain
of crops and rotations comes from ``images.json``, in the order in which it is applied to the file. Of an image folder
the chain may begin with the picture and the plane that the user chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.base import BaseSlide, read_error
from qupath_her2.slides.readers.limits import MAX_FLAT_PIXELS
from qupath_her2.slides.readers.slide import Slide, open_slide

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef

__all__ = ["CroppedSlide", "RotatedSlide", "open_image", "open_view"]


class _View(BaseSlide):
    """Base class of views: the underlying slide, which is closed with the view, and the levels used from it."""

    def __init__(
        self,
        inner: Slide,
        levels: Sequence[tuple[int, tuple[int, int]]],
        pixel_size_um: tuple[float | None, float | None],
    ) -> None:
        self._inner = inner
        self._levels = [level for level, _ in levels]
        self.reader = inner.reader
        super().__init__(
            inner.path,
            tuple(size for _, size in levels),
            pixel_size_um,
            tuple(inner.level_is_exact[level] for level in self._levels),
            tuple(inner.level_downsamples[level] for level in self._levels),
        )
        self.notes = inner.notes

    def close(self) -> None:
        """Release the file."""
        super().close()
        self._inner.close()


class CroppedSlide(_View):
    """A rectangular part of a slide, white where it reaches beyond the slide's edge.

    Parameters
    ----------
    inner
        The underlying slide; closed with this one.
    x, y
        Top-left corner of the rectangle, level-0 px of `inner`; may be negative.
    width, height
        Size of the rectangle, level-0 px.
    """

    def __init__(self, inner: Slide, x: int, y: int, width: int, height: int) -> None:
        # Levels whose pixel grid does not pass through the corner are left out: they would be off by part of a pixel.
        levels = [
            (level, (int(width // step), int(height // step)))
            for level, step in enumerate(inner.level_downsamples)
            if step.is_integer()
            and x % step == 0
            and y % step == 0
            and min(width // step, height // step) >= 1
        ]
        # Level 0 is exact at any corner, and keeps the full size where the rectangle reaches beyond the slide.
        levels[0] = (0, (width, height))
        super().__init__(inner, levels, (inner.pixel_size_x_um, inner.pixel_size_y_um))
        self._corner = (x, y)

    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        step = int(self.level_downsamples[level])
        left, top = self._corner
        return self._inner.read(left + x * step, top + y * step, width, height, self._levels[level])


class RotatedSlide(_View):
    """A slide rotated clockwise by 90, 180 or 270 degrees.

    Parameters
    ----------
    inner
        The underlying slide; closed with this one.
    degrees
        90, 180 or 270, clockwise.
    """

    def __init__(self, inner: Slide, degrees: int) -> None:
        self._degrees = degrees
        full = inner.level_dimensions[0]
        # Rotation measures from the far edge: a level that does not cover the image exactly would be shifted.
        levels = [
            (level, size if degrees == 180 else size[::-1])
            for level, size in enumerate(inner.level_dimensions)
            if all(n * inner.level_downsamples[level] == whole for n, whole in zip(size, full, strict=True))
        ]
        pixel = (inner.pixel_size_x_um, inner.pixel_size_y_um)
        super().__init__(inner, levels, pixel if degrees == 180 else pixel[::-1])

    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        below = self._levels[level]
        wide, high = self._inner.level_dimensions[below]
        # The window's rectangle in the underlying slide, level pixels.
        if self._degrees == 90:
            box = (y, high - x - width, height, width)
        elif self._degrees == 180:
            box = (wide - x - width, high - y - height, width, height)
        else:
            box = (wide - y - height, x, height, width)
        step = int(self.level_downsamples[level])
        pixels = self._inner.read(box[0] * step, box[1] * step, box[2], box[3], below)
        return np.ascontiguousarray(np.rot90(pixels, k=-self._degrees // 90))


def open_view(
    path: Path,
    chain: Sequence[dict[str, Any]] = (),
    *,
    width: int | None = None,
    height: int | None = None,
) -> Slide:
    """Open an image as QuPath shows it.

    Parameters
    ----------
    path
        The image file.
    chain
        Steps from the file to the view: ``{"series": 1}`` and ``{"plane": 3}`` as in `open_slide`, then
        ``{"crop": [x, y, width, height]}`` and ``{"rotate": 90}``.
    width, height
        Size of the view in QuPath, level-0 px; None if unknown.

    Returns
    -------
    Slide
        The view; closing it closes the file.

    Raises
    ------
    ImageReadError
        As for `open_slide`; also if the size differs from the one in QuPath.
    """
    chosen = {key: step[key] for step in chain for key in ("series", "plane") if key in step}
    slide = open_slide(path, **chosen)
    # Closing the outermost view closes the file, so a failure half-way along the chain leaves nothing open.
    try:
        for step in chain:
            slide = _apply_step(slide, step)
        if None not in (width, height) and (slide.width, slide.height) != (width, height):
            raise read_error(
                path,
                f"it is {slide.width} × {slide.height} px here but {width} × {height} px in QuPath, "
                "which shows another image or part of this file",
                "Export QuPath's own pixels: qupath-her2 pull PROJECT --pixels.",
            )
    except ImageReadError:
        slide.close()
        raise
    return slide


def _apply_step(slide: Slide, step: dict[str, Any]) -> Slide:
    if step.keys() & {"series", "plane"}:
        return slide
    if "rotate" in step:
        return RotatedSlide(slide, step["rotate"])
    x, y, width, height = step["crop"]
    # QuPath crops within the image, give or take its edge. A damaged entry could claim any number of white pixels.
    if (width > slide.width or height > slide.height) and width * height > MAX_FLAT_PIXELS:
        raise read_error(
            slide.path,
            f"its crop of {width} × {height} px is larger than the image, {slide.width} × {slide.height} px",
            "Pull the project again.",
        )
    return CroppedSlide(slide, x, y, width, height)


def open_image(ref: SlideRef) -> Slide:
    """Open an image of a project or folder in the coordinates of its regions; errors as for `open_view`."""
    return open_view(ref.path, ref.chain, width=ref.width, height=ref.height)
