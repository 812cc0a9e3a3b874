"""Open an image of any supported kind, and read it at any scale without seams."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError, SettingsError
from qupath_her2.slides.readers.base import read_error
from qupath_her2.slides.readers.openslide_reader import OpenSlideSlide, detect_vendor
from qupath_her2.slides.readers.plain_reader import PlainSlide
from qupath_her2.slides.readers.tiff_metadata import is_tiff
from qupath_her2.slides.readers.tiff_reader import TiffSlide

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["READERS", "Slide", "open_slide", "read_scaled"]

#: Readers by name; "auto" chooses.
READERS = ("auto", "openslide", "tiff", "plain")
ReaderName = Literal["auto", "openslide", "tiff", "plain"]

#: OpenSlide formats whose tiles the fast reader finds in the same places; the others have frames of their
#: own.
_FAST_VENDORS = frozenset({"aperio", "generic-tiff"})
#: Downsamples are multiples of 1/8: exact in binary, and 8 output pixels then cover whole level-0 pixels.
_STEPS = 8


@runtime_checkable
class Slide(Protocol):
    """An open image. The level-0 frame is that of QuPath; pixels outside the image or transparent are white.

    Attributes
    ----------
    path
        The file.
    reader
        ``openslide``, ``tiff`` or ``plain``.
    level_dimensions
        (width, height) in px of each level, finest first.
    level_downsamples
        Level-0 pixels per level pixel.
    level_is_exact
        False for levels that OpenSlide interpolates because their downsample is not whole.
    pixel_size_x_um, pixel_size_y_um
        As the file states them; None where it does not, or says nonsense.
    width, height
        Of level 0, px.
    pixel_size_um
        Mean of both, or None.
    """

    path: Path
    reader: str
    level_dimensions: tuple[tuple[int, int], ...]
    level_downsamples: tuple[float, ...]
    level_is_exact: tuple[bool, ...]
    pixel_size_x_um: float | None
    pixel_size_y_um: float | None

    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def pixel_size_um(self) -> float | None: ...  # noqa: D102

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> NDArray[np.uint8]:
        """Return uint8 (height, width, 3) RGB; `x, y` level-0 px, size in px of `level`; thread-safe."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


#: Files whose pixels were found to be OpenSlide's own at all levels, in this process; a dict keeps their order.
_proven: dict[tuple[str, int, int], None] = {}
_MOST_PROVEN = 4096


def open_slide(path: Path | str, reader: ReaderName = "auto") -> Slide:
    """Open an image.

    Parameters
    ----------
    path
        The file. What it is comes from its bytes, not from its name.
    reader
        ``auto`` takes the fast TIFF reader where its pixels are OpenSlide's own (compared on a few
        windows of each level at opening) or where OpenSlide does not open the file, then OpenSlide, then the
        reader of flat images.

    Raises
    ------
    ImageReadError
        When the file is missing, empty, a folder, damaged, or of an unknown kind.
    SettingsError
        When `reader` is unknown.
    """
    path = Path(path)
    if reader not in READERS:
        raise SettingsError(f"Unknown reader {reader!r}. Choose one of: {', '.join(READERS)}.")
    _check_file(path)
    if reader == "openslide":
        return OpenSlideSlide(path)
    if reader == "tiff":
        return TiffSlide(path)
    if reader == "plain":
        return PlainSlide(path)
    vendor = detect_vendor(path)
    if vendor is None and not is_tiff(path):
        return PlainSlide(path)
    if vendor is None or vendor in _FAST_VENDORS:
        return _open_tiff(path, vendor)
    return OpenSlideSlide(path)


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise read_error(path, "the file does not exist or is out of reach", "Check the path.") from error
    if path.is_dir():
        raise read_error(path, "it is a folder", "Give the image file itself.")
    if size == 0:
        raise read_error(path, "the file is empty (0 bytes)", "Copy or export the image again.")
    try:
        path.open("rb").close()
    except OSError as error:
        raise read_error(path, error.strerror or error, "Check your permission to read it.") from error


def _open_tiff(path: Path, vendor: str | None) -> Slide:
    try:
        fast = TiffSlide(path)
    except ImageReadError as error:
        if isinstance(error.__cause__, EOFError):
            raise
        return OpenSlideSlide(path) if vendor else PlainSlide(path)
    key = _file_key(path)
    if vendor is None or key in _proven:
        return fast
    try:
        reference = OpenSlideSlide(path)
    except ImageReadError:
        # OpenSlide knows the format but not this file, so there are no pixels of its own to match.
        return fast
    # OpenSlide fills Aperio's missing tiles from the level below; the fast reader leaves them white.
    if (vendor == "aperio" and fast.has_missing_tiles) or not fast.follow(reference):
        fast.close()
        return reference
    if not fast.needs_reference:
        # Cutting and reading patches open a slide one after the other: it is compared once.
        _proven[key] = None
        while len(_proven) > _MOST_PROVEN:
            _proven.pop(next(iter(_proven)), None)
    return fast


def _file_key(path: Path) -> tuple[str, int, int]:
    """Return what tells a file from another one in its place."""
    state = path.stat()
    return str(path.resolve()), state.st_size, state.st_mtime_ns


def read_scaled(
    slide: Slide, x: int, y: int, width_px: int, height_px: int, downsample: float
) -> NDArray[np.uint8]:
    """Read a window at a scale, area-averaged, so that tiles fit together without seams.

    An output pixel is the mean of the level-0 pixels it covers. A pyramid level stands in for level 0 only
    where its downsample divides the request and `x, y` lie on its grid. Windows whose origins differ by a
    multiple of 8 output pixels (``8 * downsample`` level-0 px) are identical where they overlap.

    Parameters
    ----------
    slide
        An open image.
    x, y
        Top-left corner, level-0 px.
    width_px, height_px
        Size of the result, output pixels.
    downsample
        Level-0 px per output pixel; >= 1, a multiple of 1/8.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (height_px, width_px, 3)

    Raises
    ------
    SettingsError
        When `downsample` is under 1 or not a multiple of 1/8.
    ImageReadError
        When the file cannot be read.
    """
    if not (math.isfinite(downsample) and downsample >= 1 and float(downsample * _STEPS).is_integer()):
        nearest = max(1.0, round(downsample * _STEPS) / _STEPS) if math.isfinite(downsample) else 1.0
        raise SettingsError(
            f"Downsample {downsample!r} is not a multiple of 1/8 that is at least 1. "
            f"The nearest is {nearest:g}."
        )
    level, step = _level_for(slide, x, y, downsample)
    factor = downsample / step
    if factor == 1:
        return slide.read(x, y, width_px, height_px, level)
    # Whole groups of 8 output pixels keep the averaging weights the same in every window.
    wide, high = -(-width_px // _STEPS) * _STEPS, -(-height_px // _STEPS) * _STEPS
    source = slide.read(x, y, round(wide * factor), round(high * factor), level)
    scaled = cv2.resize(source, (wide, high), interpolation=cv2.INTER_AREA)
    return cast("NDArray[np.uint8]", scaled[:height_px, :width_px])


def _level_for(slide: Slide, x: int, y: int, downsample: float) -> tuple[int, int]:
    """Return the coarsest level that may stand in for level 0, and its whole downsample."""
    best = (0, 1)
    for level, step in enumerate(slide.level_downsamples):
        if not slide.level_is_exact[level] or step > downsample:
            continue
        whole = int(step)
        if downsample % whole == 0 and x % whole == 0 and y % whole == 0 and whole > best[1]:
            best = (level, whole)
    return best
