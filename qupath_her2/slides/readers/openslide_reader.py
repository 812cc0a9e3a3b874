"""OpenSlide reader: every format OpenSlide supports; its pixels are the reference for this package.

OpenSlide: Goode A et al. J Pathol Inform 2013;4:27, doi:10.4103/2153-3539.119005.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import openslide
from numpy.typing import NDArray

from qupath_her2.slides.readers.base import (
    DECODE_ERRORS,
    BaseSlide,
    read_error,
    whole_downsample,
)
from qupath_her2.slides.readers.limits import DAMAGED, LimitError, check_coarsest_level
from qupath_her2.slides.readers.pixel_size import tagged_pixel_size_um, usable_pixel_size_um
from qupath_her2.slides.readers.tiff_metadata import check_tiff_tiles, is_tiff

__all__ = ["OpenSlideSlide", "detect_vendor"]

_BOUNDS = tuple(f"openslide.bounds-{name}" for name in ("x", "y", "width", "height"))
_UM_PER_UNIT = {"centimeter": 10_000.0, "inch": 25_400.0}


def detect_vendor(path: Path) -> str | None:
    """Return OpenSlide's name for the format of a file (``aperio``, ``mirax`` ...), or None if it is unsupported."""
    vendor: str | None = openslide.OpenSlide.detect_format(str(path))
    return vendor


class OpenSlideSlide(BaseSlide):
    """A slide read by OpenSlide, in QuPath's coordinates.

    QuPath crops to ``openslide.bounds-*`` if a file has them (MIRAX does), so level 0 starts at the corner of the
    bounds. OpenSlide interpolates on levels whose downsample is not a whole number; `level_is_exact` is False there.

    Parameters
    ----------
    path
        The image file.

    Raises
    ------
    ImageReadError
        If OpenSlide cannot open the file.
    """

    reader = "openslide"

    def __init__(self, path: Path | str) -> None:
        path = Path(path)
        try:
            # OpenSlide aborts the whole process on absurd tile sizes, which no exception handler could catch.
            if is_tiff(path):
                check_tiff_tiles(path)
        except LimitError as error:
            raise read_error(path, error, error.way_out) from error
        except DECODE_ERRORS as error:
            raise read_error(path, error, DAMAGED) from error
        try:
            handle = openslide.OpenSlide(str(path))
        except (openslide.OpenSlideError, OSError) as error:
            raise read_error(
                path,
                f"OpenSlide says: {str(error) or type(error).__name__}",
                "Copy it again (a MIRAX file together with the folder of the same name) or export it as OME-TIFF.",
            ) from error
        self._handle = handle
        properties = handle.properties
        full: tuple[int, int] = handle.dimensions
        try:
            check_coarsest_level(handle.level_dimensions, stored_bytes=path.stat().st_size)
        except LimitError as error:
            handle.close()
            raise read_error(path, error, error.way_out) from error
        self._origin, cropped = _bounds(properties, full)
        downsamples = tuple(whole_downsample(full, size) for size in handle.level_dimensions)
        sizes = tuple(
            (max(1, int(cropped[0] / d)), max(1, int(cropped[1] / d))) if cropped != full else size
            for d, size in zip(downsamples, handle.level_dimensions, strict=True)
        )
        # A level is exact if OpenSlide itself takes its downsample as whole and the bounds' corner is on its grid.
        exact = tuple(
            abs(raw - whole) < 1e-9 and whole == int(whole) and not any(v % whole for v in self._origin)
            for raw, whole in zip(handle.level_downsamples, downsamples, strict=True)
        )
        super().__init__(path, sizes, _pixel_size_um(properties), exact, downsamples)
        self.scan_offset_nm = _scan_offset_nm(properties)
        self._background = _background(properties)

    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        # OpenSlide divides the location by its own, unrounded downsample: multiply by the same number to arrive at
        # pixel (x, y) of the level.
        raw = self.level_downsamples[level] if self.level_is_exact[level] else self._raw_downsample(level)
        location = (self._origin[0] + math.floor(x * raw + 0.5), self._origin[1] + math.floor(y * raw + 0.5))
        try:
            rgba = np.asarray(self._handle.read_region(location, level, (width, height)))
        except (openslide.OpenSlideError, ctypes.ArgumentError) as error:
            # A handle that failed once fails on every later read; one that another thread closed is refused by
            # openslide-python with ArgumentError.
            raise read_error(
                self.path,
                f"OpenSlide says: {error}",
                "The file may be damaged: copy or export it again.",
            ) from error
        rgb = np.empty((height, width, 3), np.uint8)
        # A contiguous copy without alpha; numpy's strided copy of rgba[..., :3] takes several times as long.
        cv2.mixChannels([rgba], [rgb], [0, 0, 1, 1, 2, 2])
        alpha = rgba[..., 3]
        # Nearly every window is opaque: blending only where needed keeps those bytes untouched.
        if int(alpha.min()) < 255:
            weight = alpha.astype(np.float32)[..., None] / 255
            rgb = (rgb * weight + self._background * (1 - weight) + 0.5).astype(np.uint8)
        return rgb

    def _raw_downsample(self, level: int) -> float:
        return float(self._handle.level_downsamples[level])

    @property
    def vendor(self) -> str:
        """OpenSlide's name for the format."""
        return str(self._handle.properties.get("openslide.vendor", ""))

    def close(self) -> None:
        """Release the file."""
        if not self._closed:
            super().close()
            self._handle.close()


def _bounds(properties: Mapping[str, str], full: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return origin and size of the image, level-0 px, as QuPath's OpenslideImageServer takes them."""
    try:
        x, y, width, height = (int(properties[name]) for name in _BOUNDS)
    except (KeyError, ValueError):
        return (0, 0), full
    return ((x, y), (width, height)) if width > 0 and height > 0 else ((0, 0), full)


def _scan_offset_nm(properties: Mapping[str, str]) -> tuple[float, float] | None:
    try:
        x, y = (float(properties[f"hamamatsu.{axis}OffsetFromSlideCentre"]) for axis in "XY")
    except (KeyError, ValueError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None


def _pixel_size_um(properties: Mapping[str, str]) -> tuple[float | None, float | None]:
    sizes = tuple(usable_pixel_size_um(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
    # Of a plain TIFF OpenSlide's mpp is that of the resolution tags, which may be a printer's.
    if properties.get("openslide.vendor") == "generic-tiff":
        sizes = tuple(None if size is None else tagged_pixel_size_um(size) for size in sizes)
    if sizes[0] and sizes[1]:
        return sizes[0], sizes[1]
    # For plain TIFF OpenSlide derives mpp from centimetres only; QuPath's TIFF readers also accept inches.
    unit = _UM_PER_UNIT.get(properties.get("tiff.ResolutionUnit", ""))
    if unit is None:
        return None, None
    found = []
    for axis in "XY":
        per_unit = _positive(properties.get(f"tiff.{axis}Resolution"))
        found.append(tagged_pixel_size_um(unit / per_unit) if per_unit else None)
    return found[0], found[1]


def _positive(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else 0.0
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _background(properties: Mapping[str, str]) -> NDArray[np.float32]:
    """Return the colour behind transparent pixels, float32 (3,): the file's own, as in QuPath, else white."""
    text = properties.get("openslide.background-color", "FFFFFF").lstrip("#")
    try:
        value = int(text, 16)
    except ValueError:
        value = 0xFFFFFF
    return np.array([value >> 16 & 255, value >> 8 & 255, value & 255], np.float32)
