"""Opening images of any supported format, and reading them at any scale without seams between tiles."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError, SettingsError
from qupath_her2.slides.readers.base import read_error
from qupath_her2.slides.readers.limits import TILED_PYRAMID, LimitError
from qupath_her2.slides.readers.openslide_reader import OpenSlideSlide, detect_vendor
from qupath_her2.slides.readers.plain_reader import PlainSlide
from qupath_her2.slides.readers.tiff_metadata import is_tiff
from qupath_her2.slides.readers.tiff_reader import TiffSlide
from qupath_her2.slides.readers.tiff_series import needs_choice

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["READERS", "Slide", "open_slide", "read_scaled"]

#: Readers by name; "auto" chooses. The file endings that a folder is searched for are in `project.folder`.
READERS = ("auto", "openslide", "tiff", "plain")
ReaderName = Literal["auto", "openslide", "tiff", "plain"]

#: OpenSlide formats whose level-0 coordinates are those of the TIFF itself; the others crop or stitch.
_FAST_VENDORS = frozenset({"aperio", "generic-tiff"})
#: Downsamples are multiples of 1/8: exact in binary, and 8 output pixels then cover whole level-0 pixels.
_STEPS = 8


@runtime_checkable
class Slide(Protocol):
    """An open image in QuPath's level-0 coordinates; pixels outside it, and transparent ones, are white.

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
        False for levels that OpenSlide interpolates because their downsample is not a whole number.
    pixel_size_x_um, pixel_size_y_um
        From the file's metadata, µm; None if missing or implausible.
    scan_offset_nm
        Centre of the scan from the centre of the glass slide, (x, y), nm, as Hamamatsu's files state it; else None.
    notes
        Sentences for the user on how the file was read, such as an inferred bit depth.
    width, height
        Size of level 0, px.
    pixel_size_um
        Mean of both pixel sizes, or None.
    """

    path: Path
    reader: str
    level_dimensions: tuple[tuple[int, int], ...]
    level_downsamples: tuple[float, ...]
    level_is_exact: tuple[bool, ...]
    pixel_size_x_um: float | None
    pixel_size_y_um: float | None
    scan_offset_nm: tuple[float, float] | None
    notes: tuple[str, ...]

    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def pixel_size_um(self) -> float | None: ...  # noqa: D102

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> NDArray[np.uint8]:
        """Read a window of a pyramid level; safe to call from several threads.

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
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


#: Files whose pixels this process found identical to OpenSlide's at all levels. A dict, because its insertion order
#: says which entry is oldest.
_verified: dict[tuple[str, int, int], None] = {}
_MAX_VERIFIED = 4096


def open_slide(
    path: Path | str, reader: ReaderName = "auto", *, series: int | None = None, plane: int | None = None
) -> Slide:
    """Open an image.

    Parameters
    ----------
    path
        The image file; its format is told from its bytes, not from its name.
    reader
        ``auto`` takes the fast TIFF reader if its pixels equal OpenSlide's (compared on a few windows of each level
        when the file is opened) or if OpenSlide cannot open the file; otherwise OpenSlide; otherwise the reader for
        flat images.
    series, plane
        Which picture of a TIFF file with several, and which plane of a stack, from 0. None takes the largest colour
        picture that is no label or macro photograph, and the only plane.

    Returns
    -------
    Slide
        The open image; use it in a `with` statement or close it.

    Raises
    ------
    ImageReadError
        If the file is missing, empty, a folder, damaged or of an unknown format, or holds several pictures or planes of
        which one must be chosen.
    SettingsError
        If `reader` is unknown.
    """
    path = Path(path)
    if reader not in READERS:
        raise SettingsError(f"Unknown reader {reader!r}. Choose one of: {', '.join(READERS)}.")
    _check_file(path)
    if reader == "openslide":
        return OpenSlideSlide(path)
    if reader == "tiff":
        return TiffSlide(path, series=series, plane=plane)
    if reader == "plain":
        return PlainSlide(path, series=series, plane=plane)
    vendor = detect_vendor(path)
    if is_tiff(path) and (vendor is None or vendor in _FAST_VENDORS):
        return _open_tiff(path, vendor, series, plane)
    if series or plane:
        raise read_error(
            path,
            f"it has no series {series or 0}, plane {plane or 0} to choose: "
            f"{'it is a flat image' if vendor is None else f'of {vendor} files OpenSlide reads the scan itself'}",
            "Leave out --series and --plane.",
        )
    return PlainSlide(path) if vendor is None else OpenSlideSlide(path)


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise read_error(
            path,
            "the file does not exist or cannot be reached",
            "Check the path and, for a network share, the connection.",
        ) from error
    if path.is_dir():
        raise read_error(path, "it is a folder", "Give the path of the image file itself.")
    # A named pipe blocks whoever opens it until something writes to it; a device never ends.
    if not path.is_file():
        raise read_error(
            path, "it is a pipe, socket or device, not a file", "Give the path of an image file."
        )
    if size == 0:
        raise read_error(path, "the file is empty (0 bytes)", "Copy or export the image again.")
    try:
        path.open("rb").close()
    except OSError as error:
        raise read_error(path, error.strerror or error, "Check that you may read it.") from error


def _open_tiff(path: Path, vendor: str | None, series: int | None, plane: int | None) -> Slide:
    try:
        fast = TiffSlide(path, series=series, plane=plane)
    except ImageReadError as error:
        # A truncated file is refused at once: other readers may open it and fail only where pixels are missing. What
        # claims too much for one reader does so for all.
        if isinstance(error.__cause__, EOFError | LimitError):
            raise
        return _open_unusual_tiff(path, vendor, series, plane)
    # OpenSlide reads the first page of a plain TIFF, which says nothing about another one.
    if not fast.is_first_page:
        return fast
    key = _file_key(path)
    if vendor is None or key in _verified:
        return fast
    try:
        reference = OpenSlideSlide(path)
    except ImageReadError:
        # OpenSlide knows the format but cannot open this file, so there is nothing to compare with.
        return fast
    # OpenSlide fills Aperio's missing tiles from the level below; the fast reader leaves them white.
    if (vendor == "aperio" and fast.has_missing_tiles) or not fast.follow(reference):
        try:
            _read_last_pixel(reference)
        except ImageReadError:
            # A reference that cannot read the file says nothing about this reader's pixels.
            reference.close()
            return fast
        fast.close()
        return reference
    if not fast.needs_reference:
        # Cutting patches and reading them open the same slide again and again: compare it once.
        _verified[key] = None
        while len(_verified) > _MAX_VERIFIED:
            # pop with a default, since another thread may have removed the oldest entry meanwhile.
            _verified.pop(next(iter(_verified)), None)
    return fast


def _open_unusual_tiff(path: Path, vendor: str | None, series: int | None, plane: int | None) -> Slide:
    """Open a TIFF that the fast reader does not support: by OpenSlide, or as a flat image where OpenSlide fails.

    OpenSlide takes any tiled TIFF for its own, but knows neither WebP nor JPEG 2000 in it, nor 1 bit per pixel, and
    fails on the last tile of some grey ones. Of more than 8 bits it takes the high byte, of several pages the first.
    """
    if vendor is None or needs_choice(path, series, plane):
        return PlainSlide(path, series=series, plane=plane)
    try:
        slide = OpenSlideSlide(path)
        _read_last_pixel(slide)
    except ImageReadError as error:
        if isinstance(error.__cause__, LimitError):
            raise
        try:
            return PlainSlide(path)
        except ImageReadError as flat:
            # That a pyramid is too large to be read as a flat image is not what the user needs to know.
            cause = flat.__cause__
            is_too_large = isinstance(cause, LimitError) and cause.way_out == TILED_PYRAMID
            raise error if is_too_large else flat from error
    return slide


def _read_last_pixel(slide: Slide) -> None:
    slide.read(slide.width - 1, slide.height - 1, 1, 1)


def _file_key(path: Path) -> tuple[str, int, int]:
    """Return path, size and modification time, which change when the file is replaced."""
    state = path.stat()
    return str(path.resolve()), state.st_size, state.st_mtime_ns


def read_scaled(
    slide: Slide, x: int, y: int, width_px: int, height_px: int, downsample: float
) -> NDArray[np.uint8]:
    """Read a window at the given scale, area-averaged, such that adjacent windows join without seams.

    Each output pixel is the mean of the level-0 pixels that it covers. A coarser pyramid level is used instead of
    level 0 only if its downsample divides the request and `x, y` lie on its grid. Windows whose origins differ by a
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
        Level-0 px per output pixel; at least 1 and a multiple of 1/8.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (height_px, width_px, 3), RGB.

    Raises
    ------
    SettingsError
        If `downsample` is below 1 or not a multiple of 1/8.
    ImageReadError
        If the file cannot be read.
    """
    if not (math.isfinite(downsample) and downsample >= 1 and float(downsample * _STEPS).is_integer()):
        nearest = max(1.0, round(downsample * _STEPS) / _STEPS) if math.isfinite(downsample) else 1.0
        raise SettingsError(
            f"Downsample {downsample!r} is not allowed: it must be at least 1 and a multiple of 1/8. "
            f"The nearest is {nearest:g}."
        )
    level, step = _level_for(slide, x, y, downsample)
    factor = downsample / step
    if factor == 1:
        return slide.read(x, y, width_px, height_px, level)
    # Whole groups of 8 output pixels cover whole source pixels, so that area averages have the same weights in every
    # window; with a partial group the rest would be stretched by a fraction of a pixel.
    wide, high = -(-width_px // _STEPS) * _STEPS, -(-height_px // _STEPS) * _STEPS
    source = slide.read(x, y, round(wide * factor), round(high * factor), level)
    if float(factor).is_integer():
        scaled = cv2.resize(source, (wide, high), interpolation=cv2.INTER_AREA)
    else:
        # Compiled code takes long to load, and many commands only open slides.
        from qupath_her2.slides.area_average import area_average

        scaled = area_average(source, wide, high)
    return cast("NDArray[np.uint8]", scaled[:height_px, :width_px])


def _level_for(slide: Slide, x: int, y: int, downsample: float) -> tuple[int, int]:
    """Return the coarsest level that gives the same means as level 0, and its whole-number downsample."""
    best = (0, 1)
    for level, step in enumerate(slide.level_downsamples):
        if not slide.level_is_exact[level] or step > downsample:
            continue
        whole = int(step)
        if downsample % whole == 0 and x % whole == 0 and y % whole == 0 and whole > best[1]:
            best = (level, whole)
    return best
