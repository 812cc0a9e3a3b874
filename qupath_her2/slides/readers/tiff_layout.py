"""TIFF pyramid layout: position of every tile in the file, and its decoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.limits import (
    MAX_TILE_PIXELS,
    MAX_TILES,
    LimitError,
    check_coarsest_level,
    check_coded_size,
    check_expansion,
    check_tile,
)

__all__ = ["Tile", "TiffLevel", "describe_levels"]

#: TIFF compression codes supported here: none, LZW, JPEG, deflate (two codes). JPEG 2000 is faster in OpenSlide.
_COMPRESSIONS = frozenset({1, 5, 7, 8, 32946})
_JPEG = 7
_MINISBLACK, _RGB, _YCBCR = 1, 2, 6
#: Rows per read from an uncompressed strip.
_ROWS_PER_READ = 64

Tile: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TiffLevel:
    """One pyramid level and its tiles in row-major order.

    Attributes
    ----------
    width, height, tile_width, tile_height
        Sizes in px; a strip is a tile as wide as the image.
    offsets, byte_counts
        Position and size of each tile in the file; a count of 0 means that the tile was never written.
    decode
        (bytes, tile index) -> uint8 (tile height, tile width, 3 or 1), thread-safe.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int
    offsets: tuple[int, ...]
    byte_counts: tuple[int, ...]
    decode: Callable[[bytes, int], Tile]

    @property
    def tiles_across(self) -> int:
        """Number of tiles per row."""
        return -(-self.width // self.tile_width)


def describe_levels(tiff: tifffile.TiffFile, file_size: int, first: Any = None) -> tuple[TiffLevel, ...]:
    """Return the pyramid levels of one image, finest first.

    The levels are its page, the SubIFDs of that, and every later tiled page of the same aspect ratio that is marked as
    reduced resolution (in Aperio files, whether marked or not).

    Parameters
    ----------
    tiff
        The open file.
    file_size
        Its size in bytes.
    first
        tifffile's page of the image; None takes the first of the file.

    Returns
    -------
    tuple[TiffLevel, ...]
        At least one level.

    Raises
    ------
    ValueError
        If the layout is not tiled or stripped 8-bit RGB or grey; the message says what was found.
    EOFError
        If a tile ends beyond `file_size` bytes, that is, the file is truncated.
    LimitError
        If tiles or levels are larger than any reader should try, or the file holds fluorescence channels.
    """
    _refuse_fluorescence(tiff)
    levels = sorted(
        (_level(page, file_size) for page in _pyramid_pages(tiff, first)), key=lambda level: -level.width
    )
    sizes = [(level.width, level.height) for level in levels]
    check_coarsest_level(sizes, len(levels[-1].offsets), file_size)
    return tuple(levels)


def _refuse_fluorescence(tiff: tifffile.TiffFile) -> None:
    """Refuse a QPTIFF of several channels: its first page alone looks like a grey brightfield scan."""
    if not tiff.is_qpi:
        return
    first: Any = tiff.pages[0]
    pages: list[Any] = [tiff.pages[number] for number in range(len(tiff.pages))]
    # Frames have the layout of the page that they were read after.
    channels = [page for page in pages if page.shape == first.shape and len(page.shape) == 2]
    if len(channels) > 1:
        raise LimitError(
            f"it is a fluorescence scan of {len(channels)} channels, and HER2 is scored on brightfield scans",
            "Scan the HER2 IHC slide in brightfield.",
        )


def _pyramid_pages(tiff: tifffile.TiffFile, first: Any) -> list[Any]:
    """Return the pages that hold an image at any resolution, in file order."""
    first = tiff.pages[0] if first is None else first
    pages = [first, *(first.pages or ())]
    for number in range(first.index + 1, len(tiff.pages)):
        page: Any = tiff.pages[number]
        if isinstance(page, tifffile.TiffFrame):
            page = page.aspage()
        # Aperio's label and macro images are marked as reduced too, but are stripped; a different aspect ratio means
        # a different picture.
        if page.is_tiled and (page.subfiletype & 1 or tiff.is_svs) and _same_aspect(first, page):
            pages.append(page)
    return pages


def _same_aspect(first: Any, page: Any) -> bool:
    if not 0 < page.imagewidth < first.imagewidth or not 0 < page.imagelength < first.imagelength:
        return False
    downsample = first.imagewidth / page.imagewidth
    return bool(abs(first.imagelength / downsample - page.imagelength) <= max(2.0, 0.01 * page.imagelength))


def _level(page: Any, file_size: int) -> TiffLevel:
    """Describe a page; the ValueError names the property that this reader does not support."""
    # tifffile reads pages of equal layout as frames, which lack most tags.
    page = page.aspage() if isinstance(page, tifffile.TiffFrame) else page
    compression, photometric, samples = int(page.compression), int(page.photometric), page.samplesperpixel
    _require(page.bitspersample == 8, f"{page.bitspersample} bits per sample")
    _require(compression in _COMPRESSIONS, f"compression {page.compression!r}")
    _require(page.planarconfig == 1 and page.imagedepth == 1, "planes stored apart")
    rgb = samples == 3 and photometric in (_RGB, _YCBCR) and (photometric == _RGB or compression == _JPEG)
    _require(
        rgb or (samples == 1 and photometric == _MINISBLACK), f"{samples} samples of {page.photometric!r}"
    )
    offsets, counts = tuple(page.dataoffsets), tuple(page.databytecounts)
    width, height = page.imagewidth, page.imagelength
    tile_width, tile_height = (
        (page.tilewidth, page.tilelength) if page.is_tiled else (width, page.rowsperstrip)
    )
    tile_height = min(tile_height, height) if not page.is_tiled else tile_height
    _require(min(width, height, tile_width, tile_height) > 0, f"size {width} × {height} px")
    if page.is_tiled:
        check_tile(tile_width, tile_height)
    if compression == 1 and not page.is_tiled and page.is_contiguous:
        # Many writers put a whole uncompressed image into one strip; its rows can be read in blocks of any height.
        _check_complete(offsets[:1], (width * samples * height,), file_size)
        tile_height = max(1, min(_ROWS_PER_READ, MAX_TILE_PIXELS // width, height))
        offsets, counts = _row_blocks(offsets[0], width * samples, height, tile_height)
    n_tiles = math.ceil(width / tile_width) * math.ceil(height / tile_height)
    # A larger strip is in effect a flat image: decoding it for a single patch would take seconds.
    _require(tile_width * tile_height <= MAX_TILE_PIXELS, f"strips of {tile_width} × {tile_height} px")
    _require(
        n_tiles <= MAX_TILES and len(offsets) == len(counts) == n_tiles, f"{len(offsets)} of {n_tiles} tiles"
    )
    _check_complete(offsets, counts, file_size)
    # Tiles that were never written hold nothing and claim nothing. Of strips the last may be shorter.
    written = np.count_nonzero(counts) - (not page.is_tiled)
    check_expansion(max(0, written) * tile_width * tile_height * samples, sum(counts))
    shape = (tile_height, tile_width, samples)
    if compression == _JPEG:
        space = "rgb" if photometric == _RGB else "ycbcr" if photometric == _YCBCR else "grayscale"
        decode = partial(_decode_jpeg, tables=page.jpegtables, space=space, shape=shape)
    elif compression == 1:
        decode = partial(_decode_raw, shape=shape)
    else:
        decode = partial(_decode_other, page=page, shape=shape)
    return TiffLevel(width, height, tile_width, tile_height, offsets, counts, decode)


def _require(is_met: bool, found: str) -> None:
    if not is_met:
        raise ValueError(f"its TIFF layout ({found}) is not supported by the fast reader")


def _row_blocks(
    start: int, row_bytes: int, height: int, rows: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    tops = range(0, height, rows)
    return (
        tuple(start + top * row_bytes for top in tops),
        tuple(min(rows, height - top) * row_bytes for top in tops),
    )


def _check_complete(offsets: tuple[int, ...], counts: tuple[int, ...], file_size: int) -> None:
    # As float64: offsets of a damaged BigTIFF header may overflow int64 when added.
    ends = np.asarray(offsets, dtype=np.float64) + np.asarray(counts, dtype=np.float64)
    if len(ends) and float(ends.max()) > file_size:
        index = int(ends.argmax())
        raise EOFError(
            f"it is truncated: tile {index} of {len(ends)} ends at byte {int(ends[index])}, "
            f"the file at byte {file_size}"
        )


def _decode_jpeg(
    data: bytes, index: int, *, tables: bytes | None, space: str, shape: tuple[int, int, int]
) -> Tile:
    check_coded_size(data, shape[1], shape[0])
    wanted = "grayscale" if space == "grayscale" else "rgb"
    # The colour space comes from the TIFF tag: RGB tiles may lack the Adobe marker, and libjpeg would guess YCbCr.
    tile = imagecodecs.jpeg8_decode(data, tables=tables, colorspace=space, outcolorspace=wanted)
    return _as_tile(tile, shape)


def _decode_raw(data: bytes, index: int, *, shape: tuple[int, int, int]) -> Tile:
    rows = min(shape[0], len(data) // (shape[1] * shape[2]))
    flat = np.frombuffer(data, np.uint8, rows * shape[1] * shape[2])
    return _as_tile(flat.reshape(rows, shape[1], shape[2]), shape)


def _decode_other(data: bytes, index: int, *, page: Any, shape: tuple[int, int, int]) -> Tile:
    decoded, _, _ = page.decode(data, index)
    return _as_tile(decoded.reshape(decoded.shape[-3:]), shape)


def _as_tile(tile: NDArray[Any], shape: tuple[int, int, int]) -> Tile:
    """Check a decoded tile, and pad it with white to `shape`: the last strip of an image may be shorter."""
    tile = tile[..., None] if tile.ndim == 2 else tile
    if tile.dtype != np.uint8 or tile.shape[2] != shape[2]:
        raise ImageReadError(
            f"its pixels are {tile.dtype} with {tile.shape[2]} samples, not 8-bit RGB or grey"
        )
    if tile.shape[0] < shape[0] or tile.shape[1] < shape[1]:
        full = np.full(shape, 255, np.uint8)
        full[: tile.shape[0], : tile.shape[1]] = tile[: shape[0], : shape[1]]
        return full
    return tile
