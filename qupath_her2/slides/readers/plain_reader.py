"""Reader for flat images, decoded into memory: PNG, JPEG, BMP, and TIFF that is neither pyramidal nor 8-bit RGB.

Every image is converted to 8-bit RGB by these rules:

- 16 bit: the upper 8 of the used bits, see `slides.readers.bit_depth`; nothing is stretched to the brightest pixel.
- 1 bit: 0 or 255. Grey: three equal channels. Palette: its colours. Float and 32-bit pixels are refused.
- Transparency: blended onto white, the colour of glass.
- CMYK: ``255 - min(255, ink + black)``; Adobe's inverted CMYK JPEG is inverted first. Colour profiles are ignored.
- EXIF orientation is ignored, as in QuPath: coordinates are those of the stored pixels.
- Pixel size: from TIFF resolution tags and OME-XML only. PNG ``pHYs`` and JPEG density are print resolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.base import DECODE_ERRORS, BaseSlide, read_error
from qupath_her2.slides.readers.bit_depth import declared_bits, in_8_bits, used_bits
from qupath_her2.slides.readers.limits import (
    DAMAGED,
    MAX_FLAT_PIXELS,
    LimitError,
    check_coded_size,
    check_expansion,
    check_flat_size,
    check_jpeg_scans,
    check_tile,
)
from qupath_her2.slides.readers.tiff_metadata import is_tiff, open_tiff, tiff_pixel_size_um
from qupath_her2.slides.readers.tiff_series import TiffPicture, choose_picture

__all__ = ["PlainSlide"]

_SIGNATURES: tuple[tuple[bytes, Any], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
)
#: TIFF photometric interpretations.
_WHITE_IS_ZERO, _PALETTE, _CMYK, _YCBCR, _CIELAB = 0, 3, 5, 6, 8
_FORMATS = "Supported are PNG, JPEG, BMP, TIFF and every format that OpenSlide reads."
#: TIFF compression codes for which `limits.MAX_EXPANSION` holds: none, LZW, JPEG, deflate (two codes).
_BOUNDED_CODECS = frozenset({1, 5, 7, 8, 32946})
#: Those whose streams have a size of their own: JPEG (two codes) and JPEG 2000 (Aperio's and three others).
_CODED_SIZES = frozenset({6, 7, 33_003, 33_004, 33_005, 34_712})
#: Enough for the header of such a stream.
_HEAD_BYTES = 2**16
#: Red, green, blue and transparency, or four inks.
_MAX_SAMPLES = 4
#: Three channels stored apart whose median is darker, of 255, show no glass: they are fluorescence.
_DARK = 50
#: Rows converted at once.
_ROWS_AT_ONCE = 256
_CONVERT = "Save a single plane of it as 8-bit RGB."
_RECODE = "Export it again, compressed with JPEG, LZW or not at all."


class _UnsupportedPixelsError(ValueError):
    """The file is intact, but its pixels have no unambiguous 8-bit RGB form."""


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(16)
    except OSError as error:
        raise read_error(path, error.strerror or error, "Check the path and your permission.") from error


class PlainSlide(BaseSlide):
    """A flat image held in memory as 8-bit RGB, converted by the rules in the module docstring.

    Parameters
    ----------
    path
        The image file; its format is told from its first bytes, not from its name.
    max_pixels
        Larger images are refused before anything is decoded.
    series, plane
        Picture and plane of a TIFF file as in `choose_picture`; other files have one.

    Raises
    ------
    ImageReadError
        If the file is not a supported image, is damaged, truncated or too large, or holds a stack or float pixels.
    """

    reader = "plain"

    def __init__(
        self,
        path: Path | str,
        *,
        max_pixels: int = MAX_FLAT_PIXELS,
        series: int | None = None,
        plane: int | None = None,
    ) -> None:
        path = Path(path)
        head = _head(path)
        size: tuple[float | None, float | None] = (None, None)
        try:
            if is_tiff(path):
                rgb, note, size = _decode_tiff(path, max_pixels, series, plane)
            else:
                rgb, note = _decode_image(path, head, max_pixels)
        except ImageReadError:
            raise
        except LimitError as error:
            raise read_error(path, error, error.way_out) from error
        except _UnsupportedPixelsError as error:
            raise read_error(path, error, _CONVERT) from error
        except ImportError as error:
            # imagecodecs is built without some rare codecs, and tifffile knows codecs that it has no decoder for.
            raise read_error(path, f"there is no decoder for its compression ({error})", _RECODE) from error
        except DECODE_ERRORS as error:
            raise read_error(path, error or type(error).__name__, DAMAGED) from error
        self._rgb = rgb
        super().__init__(path, ((rgb.shape[1], rgb.shape[0]),), size)
        self.notes = (note,) if note else ()

    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        return self._rgb[y : y + height, x : x + width].copy()

    def close(self) -> None:
        """Release the pixels."""
        super().close()
        self._rgb = np.empty((0, 0, 3), np.uint8)


def _decode_image(path: Path, head: bytes, max_pixels: int) -> tuple[NDArray[np.uint8], str | None]:
    plugin = next((plugin for magic, plugin in _SIGNATURES if head.startswith(magic)), None)
    if plugin is None:
        raise read_error(
            path, f"its first bytes {head[:8]!r} are not those of a known image format", _FORMATS
        )
    # The plug-in itself, not Image.open, which warns of "decompression bombs" above 89 megapixels.
    with path.open("rb") as stream:
        if plugin is JpegImagePlugin.JpegImageFile:
            check_jpeg_scans(stream)
        with plugin(stream) as image:
            check_flat_size(image.width, image.height, max_pixels)
            check_expansion(image.width * image.height * _bits(image) // 8, path.stat().st_size)
            if _is_16_bit_png(path):
                return _decode_16_bit_png(path)
            image.load()
            crops = _by_rows(lambda top, end: _pil_to_rgb(image.crop((0, top, image.width, end))), image.size)
            return crops, None


def _is_16_bit_png(path: Path) -> bool:
    """Return whether a PNG has 16 bits per channel, as the 25th byte of the file says."""
    with path.open("rb") as stream:
        head = stream.read(25)
    return head.startswith(_SIGNATURES[0][0]) and head[24:] == b"\x10"


def _decode_16_bit_png(path: Path) -> tuple[NDArray[np.uint8], str | None]:
    # Pillow keeps the high byte of 16-bit colours alone, in which an image of 12 bits is black.
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("its PNG data are damaged")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    narrow, note = _used_8_bits(pixels, None)
    return to_rgb8(narrow), note


def _used_8_bits(pixels: NDArray[Any], declared: int | None) -> tuple[NDArray[Any], str | None]:
    """Return the upper 8 of the used bits of 16-bit pixels, and a note where their number was inferred."""
    if pixels.dtype != np.uint16 or not pixels.size:
        return pixels, None
    # Transparency is not brightness.
    colours = pixels[..., :3] if pixels.ndim == 3 and pixels.shape[2] == 4 else pixels
    bits, note = used_bits(int(colours.max()), declared)
    return in_8_bits(pixels, bits), note


def _bits(image: Image.Image) -> int:
    """Return the fewest bits per pixel that a file of this mode may hold: grey and palettes may have 1."""
    return 1 if image.mode in ("1", "L", "P") else 8 * len(image.getbands())


def _by_rows(convert: Callable[[int, int], NDArray[np.uint8]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Convert an image in blocks of rows, lest the decoded pixels lie in memory several times."""
    width, height = size
    rgb = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _ROWS_AT_ONCE):
        end = min(top + _ROWS_AT_ONCE, height)
        rgb[top:end] = convert(top, end)
    return rgb


def _pil_to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "CMYK":
        # Pillow's plug-in has already undone Adobe's inversion.
        return _cmyk_to_rgb(np.asarray(image))
    if image.mode.startswith("I;16") or image.mode == "I":
        return to_rgb8(np.asarray(image).astype(np.uint16))
    if image.mode == "F":
        raise _UnsupportedPixelsError("its pixels are float32, which have no defined white")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return to_rgb8(np.asarray(image.convert("RGBA")))
    return to_rgb8(np.asarray(image.convert("RGB")))


def _decode_tiff(
    path: Path, max_pixels: int, series: int | None, plane: int | None
) -> tuple[NDArray[np.uint8], str | None, tuple[float | None, float | None]]:
    with open_tiff(path) as tiff:
        chosen = choose_picture(tiff, series, plane)
        page = chosen.page
        check_flat_size(page.imagewidth, page.imagelength, max_pixels)
        _check_page(page)
        if page.photometric == _CIELAB or (
            page.photometric == _YCBCR and int(page.compression) not in (6, 7)
        ):
            raise _UnsupportedPixelsError(f"its colour space is {page.photometric.name}")
        pixels = _plane_pixels(chosen)
        note = None
        if int(page.photometric) != _PALETTE:
            xml = tiff.ome_metadata or "" if tiff.is_ome else ""
            pixels, note = _used_8_bits(pixels, declared_bits(page, xml, chosen.series))
        if len(chosen.pages) > 1 and np.median(pixels.max(axis=-1)) < _DARK:
            raise _UnsupportedPixelsError(
                "its three channels have a dark background, as fluorescence images have, not glass"
            )
        return _tiff_to_rgb(pixels, page), note, tiff_pixel_size_um(tiff, page, chosen.series)


def _plane_pixels(chosen: TiffPicture) -> NDArray[Any]:
    """Return the pixels of a plane, (H, W) or (H, W, channels)."""
    if chosen.is_volume:
        # Mapped, not read: a stack of hundreds of planes may be larger than the memory.
        whole = chosen.parent.asarray(out="memmap")
        pixels = np.array(whole.reshape(-1, *chosen.page.shape)[chosen.plane])
    elif len(chosen.pages) > 1:
        pixels = np.stack([page.asarray() for page in chosen.pages], axis=-1)
    else:
        pixels = chosen.page.asarray()
    if len(chosen.pages) == 1 and chosen.page.axes.startswith("S"):
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels


def _check_page(page: Any) -> None:
    """Refuse what decoding would find out only after it has taken gigabytes: giant tiles, many channels, floats."""
    if page.is_tiled:
        check_tile(page.tilewidth, page.tilelength)
    samples, counts = page.samplesperpixel, page.databytecounts
    if samples > _MAX_SAMPLES:
        raise _UnsupportedPixelsError(f"it has {samples} channels")
    if page.dtype is not None and page.dtype not in (np.bool_, np.uint8, np.uint16):
        raise _UnsupportedPixelsError(f"its pixels are {page.dtype}, which have no defined white")
    if int(page.compression) in _BOUNDED_CODECS and all(counts):
        pixels = page.imagewidth * page.imagelength
        check_expansion(pixels * samples * page.bitspersample // 8, sum(counts))
    if int(page.compression) in _CODED_SIZES:
        width, height = (
            (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.imagelength)
        )
        stream = page.parent.filehandle
        for offset, count in zip(page.dataoffsets, counts, strict=False):
            stream.seek(offset)
            check_coded_size(stream.read(min(count, _HEAD_BYTES)), width, height)


def _tiff_to_rgb(pixels: NDArray[Any], page: Any) -> NDArray[np.uint8]:
    photometric = int(page.photometric)
    if photometric == _PALETTE:
        return to_rgb8(np.ascontiguousarray(page.colormap.T[pixels]))
    if photometric == _CMYK:
        return _cmyk_to_rgb(_to_uint8(pixels))
    if pixels.dtype == np.uint8 and page.bitspersample < 8 and pixels.ndim == 2:
        pixels = (pixels.astype(np.uint16) * 255 // (2**page.bitspersample - 1)).astype(np.uint8)
    if photometric == _WHITE_IS_ZERO:
        pixels = ~pixels
    return to_rgb8(pixels)


def to_rgb8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert pixels to 8-bit RGB by the rules in the module docstring.

    Parameters
    ----------
    pixels
        bool, uint8 or uint16; (H, W) grey, or (H, W, C) with C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W, 3).

    Raises
    ------
    ValueError
        For any other dtype or number of channels.
    """
    values = pixels[..., None] if pixels.ndim == 2 else pixels
    size = values.shape[1], values.shape[0]
    return _by_rows(lambda top, end: _rows_to_rgb8(values[top:end]), size)


def _rows_to_rgb8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    values = _to_uint8(pixels)
    channels = values.shape[2]
    if not 1 <= channels <= 4:
        raise _UnsupportedPixelsError(f"it has {channels} channels")
    if channels in (2, 4):
        alpha = values[..., -1:].astype(np.uint16)
        # c * a + 255 * (1 - a) in integers, rounded: exact for a = 0 and a = 255.
        values = ((values[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    return values


def _to_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return in_8_bits(pixels, 16)
    raise _UnsupportedPixelsError(f"its pixels are {pixels.dtype}, which have no defined white")


def _cmyk_to_rgb(cmyk: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # In 16 bits, for ink plus black overflows a byte.
    ink = np.minimum(cmyk[..., :3].astype(np.uint16) + cmyk[..., 3:4], 255)
    rgb: NDArray[np.uint8] = (255 - ink).astype(np.uint8)
    return rgb
