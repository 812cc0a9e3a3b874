"""An image as QuPath shows it, where that is not the file itself: a part of it, or turned.

QuPath's regions and cells are in the frame of what it shows, so every pixel is read in that frame too. The steps
come from ``images.json``, from the file outward.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.base import BaseSlide, read_error
from qupath_her2.slides.readers.slide import Slide, open_slide

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef

__all__ = ["CroppedSlide", "RotatedSlide", "open_image", "open_view"]


class _View(BaseSlide):
    """What two kinds of view share: the slide below, closed with this one, and the levels taken from it."""

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

    def close(self) -> None:
        """Release the file."""
        super().close()
        self._inner.close()


class CroppedSlide(_View):
    """A rectangle of a slide; where it reaches over the slide's edge there is white.

    Parameters
    ----------
    inner
        The slide; closed with this one.
    x, y
        Of the rectangle's corner, level-0 px of `inner`; negative where `inner` is itself a part.
    width, height
        Of the rectangle, level-0 px.
    """

    def __init__(self, inner: Slide, x: int, y: int, width: int, height: int) -> None:
        # A level whose pixels do not begin at the corner would be off by a part of one.
        levels = [
            (level, (int(width // step), int(height // step)))
            for level, step in enumerate(inner.level_downsamples)
            if step.is_integer()
            and x % step == 0
            and y % step == 0
            and min(width // step, height // step) >= 1
        ]
        levels[0] = (0, (width, height))
        super().__init__(inner, levels, (inner.pixel_size_x_um, inner.pixel_size_y_um))
        self._corner = (x, y)

    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        step = int(self.level_downsamples[level])
        left, top = self._corner
        return self._inner.read(left + x * step, top + y * step, width, height, self._levels[level])


class RotatedSlide(_View):
    """A slide turned clockwise by 90, 180 or 270 degrees.

    Parameters
    ----------
    inner
        The slide; closed with this one.
    degrees
        90, 180 or 270.
    """

    def __init__(self, inner: Slide, degrees: int) -> None:
        self._degrees = degrees
        full = inner.level_dimensions[0]
        # Turned about its far edges, a level keeps its grid only where it covers the image exactly.
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
        The file.
    chain
        Steps from the file to what is shown: ``{"crop": [x, y, width, height]}``, ``{"rotate": 90}``.
    width, height
        Of what QuPath shows, px; None where QuPath was not asked.

    Raises
    ------
    ImageReadError
        As `open_slide`; also where the size is not that which QuPath shows.
    """
    slide = open_slide(path)
    try:
        for step in chain:
            slide = _stepped(slide, step)
        if None not in (width, height) and (slide.width, slide.height) != (width, height):
            raise read_error(
                path,
                f"it is {slide.width} × {slide.height} px here but {width} × {height} px in QuPath, "
                "which shows another part of the file",
                "Have QuPath write its pixels: qupath-her2 pull PROJECT --pixels.",
            )
    except ImageReadError:
        slide.close()
        raise
    return slide


def _stepped(slide: Slide, step: dict[str, Any]) -> Slide:
    return CroppedSlide(slide, *step["crop"]) if "crop" in step else RotatedSlide(slide, step["rotate"])


def open_image(ref: SlideRef) -> Slide:
    """Open an image of a project or folder, in the frame of its regions; raises as `open_view`."""
    return open_view(ref.path, ref.chain, width=ref.width, height=ref.height)
