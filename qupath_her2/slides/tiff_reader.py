"""The fast path: tiled or stripped 8-bit RGB and grey TIFF, SVS and OME-TIFF, by tifffile and imagecodecs.

JPEG tiles go through libjpeg-turbo with the same colour space and default up-sampling that OpenSlide asks
for, so pixels are bit-identical; `qupath_her2.slides.slide.open_slide` checks that on each file before it
trusts it.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.base import DECODE_ERRORS, BaseSlide, read_error
from qupath_her2.slides.tiff_metadata import tiff_pixel_size_um

__all__ = ["TiffSlide"]

#: TIFF compression codes read here: none, LZW, JPEG, deflate (two codes). JPEG 2000 is faster in OpenSlide.
_COMPRESSIONS = frozenset({1, 5, 7, 8, 32946})
_JPEG = 7
_MINISBLACK, _RGB, _YCBCR = 1, 2, 6
#: A larger tile or strip is a flat image in disguise: decoding it for one patch would take seconds.
_MAX_TILE_PIXELS = 2**24
_MAX_TILES = 50_000_000
#: Rows of an uncompressed strip taken at once.
_ROWS_PER_READ = 64

_Tile = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Level:
    """Where the tiles of one resolution lie in the file, row by row, and how they are decoded."""

    width: int
    height: int
    tile_width: int
    tile_height: int
    offsets: tuple[int, ...]
    byte_counts: tuple[int, ...]
    decode: Callable[[bytes, int], _Tile]

    @property
    def tiles_across(self) -> int:
        return -(-self.width // self.tile_width)


class _File:
    """Positioned reads from one file, by many threads."""

    def __init__(self, path: Path) -> None:
        self._stream: BinaryIO = path.open("rb")
        self._lock = threading.Lock()
        self.size = path.stat().st_size

    def read(self, offset: int, count: int) -> bytes:
        with self._lock:
            self._stream.seek(offset)
            data = self._stream.read(count)
        if len(data) != count:
            raise EOFError(f"the file ends at byte {offset + len(data)}, a tile needs {offset + count}")
        return data

    def close(self) -> None:
        self._stream.close()


class _TileCache:
    """Least recently used decoded tiles, bounded by bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._tiles: OrderedDict[tuple[int, int], _Tile] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = 0
        self._max_bytes = max_bytes

    def get(self, key: tuple[int, int]) -> _Tile | None:
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def put(self, key: tuple[int, int], tile: _Tile) -> None:
        with self._lock:
            if key in self._tiles:
                return
            self._tiles[key] = tile
            self._bytes += tile.nbytes
            while self._bytes > self._max_bytes and self._tiles:
                self._bytes -= self._tiles.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        with self._lock:
            self._tiles.clear()
            self._bytes = 0


class TiffSlide(BaseSlide):
    """A pyramid or flat TIFF whose tiles are decoded on demand, outside the GIL.

    Levels are the first image, its SubIFDs, and later tiled images marked as reduced (or any in Aperio
    files).

    Parameters
    ----------
    path : the file.
    cache_bytes : bound of the cache of decoded tiles that reads cut through; wholly covered tiles are not
        kept.

    Raises
    ------
    ImageReadError
        When the file is truncated or damaged, or is a TIFF this reader leaves to others (16 bits, planar,
        CMYK, palette, JPEG 2000, one giant strip).
    """

    reader = "tiff"

    def __init__(self, path: Path | str, *, cache_bytes: int = 64 * 2**20) -> None:
        path = Path(path)
        way_out = "Open it with reader='openslide', or export it as 8-bit RGB OME-TIFF from QuPath."
        try:
            # Our own stream: tifffile leaves its one open when a damaged header stops it.
            with path.open("rb") as stream, tifffile.TiffFile(stream) as tiff:
                pages = _pyramid_pages(tiff)
                size = path.stat().st_size
                levels = [_level(page, size) for page in pages]
                pixel_size = tiff_pixel_size_um(tiff)
            self._file = _File(path)
        except DECODE_ERRORS as error:
            raise read_error(path, error or type(error).__name__, way_out) from error
        self._levels = tuple(sorted(levels, key=lambda level: -level.width))
        self._cache = _TileCache(cache_bytes)
        self._reference: BaseSlide | None = None
        self._reference_levels: dict[int, int] = {}
        super().__init__(path, tuple((level.width, level.height) for level in self._levels), pixel_size)

    @property
    def has_missing_tiles(self) -> bool:
        """True where a tile has no bytes: white here; OpenSlide fills it from another level (Aperio)."""
        return any(0 in level.byte_counts for level in self._levels)

    def follow(self, reference: BaseSlide) -> bool:
        """Check that this file's pixels are those of `reference`, and take its word on inexact levels.

        Three windows of each level are compared. OpenSlide interpolates on levels whose downsample is not
        whole; those are left to it, so that both readers stay the same to the bit.

        Parameters
        ----------
        reference : the same file, opened by OpenSlide. Kept open where it is needed, else closed.

        Returns
        -------
        False where the levels or any pixel differ; neither reader is closed then.
        """
        sizes = {size: level for level, size in enumerate(self.level_dimensions)}
        if self.level_dimensions[0] != reference.level_dimensions[0]:
            return False
        if any(size not in sizes for size in reference.level_dimensions):
            return False
        exact = list(self.level_is_exact)
        for other, size in enumerate(reference.level_dimensions):
            level = sizes[size]
            if not reference.level_is_exact[other]:
                exact[level] = False
                self._reference_levels[level] = other
            elif not self._same_pixels(reference, level, other):
                return False
        self.level_is_exact = tuple(exact)
        if self._reference_levels:
            self._reference = reference
        else:
            reference.close()
        return True

    def _same_pixels(self, reference: BaseSlide, level: int, other: int) -> bool:
        step = int(self.level_downsamples[level])
        width, height = self.level_dimensions[level]
        side = 96
        for share in (0.0, 0.5, 1.0):
            x, y = (int(share * max(0, n - side)) * step for n in (width, height))
            try:
                ours = self.read(x, y, side, side, level)
                if not np.array_equal(ours, reference.read(x, y, side, side, other)):
                    return False
            except ImageReadError:
                return False
        return True

    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        if self._reference is not None and level in self._reference_levels:
            return self._reference._decode(self._reference_levels[level], x, y, width, height)
        grid = self._levels[level]
        out = np.empty((height, width, 3), np.uint8)
        for row in range(y // grid.tile_height, -(-(y + height) // grid.tile_height)):
            top = row * grid.tile_height
            y0, y1 = max(top, y), min(top + grid.tile_height, y + height)
            for column in range(x // grid.tile_width, -(-(x + width) // grid.tile_width)):
                left = column * grid.tile_width
                x0, x1 = max(left, x), min(left + grid.tile_width, x + width)
                whole = x1 - x0 == grid.tile_width and y1 - y0 == grid.tile_height
                tile = self._tile(level, row * grid.tiles_across + column, keep=not whole)
                out[y0 - y : y1 - y, x0 - x : x1 - x] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
        return out

    def _tile(self, level: int, index: int, *, keep: bool) -> _Tile:
        """Return a decoded tile, (tile height, tile width, 3 or 1); a tile that a read cuts is kept."""
        tile = self._cache.get((level, index))
        if tile is not None:
            return tile
        grid = self._levels[level]
        count = grid.byte_counts[index]
        if count == 0:
            return np.full((grid.tile_height, grid.tile_width, 1), 255, np.uint8)
        try:
            tile = grid.decode(self._file.read(grid.offsets[index], count), index)
        except DECODE_ERRORS as error:
            raise read_error(
                self.path,
                f"tile {index} of level {level} is damaged: {error or type(error).__name__}",
                "Copy or export the image again.",
            ) from error
        if keep:
            self._cache.put((level, index), tile)
        return tile

    def close(self) -> None:
        """Release the file and the cached tiles."""
        if self._closed:
            return
        super().close()
        self._cache.clear()
        self._file.close()
        if self._reference is not None:
            self._reference.close()


def _pyramid_pages(tiff: tifffile.TiffFile) -> list[Any]:
    """Return the pages that show the first image, finest first."""
    first: Any = tiff.pages[0]
    pages = [first, *(first.pages or ())]
    for number in range(1, len(tiff.pages)):
        page: Any = tiff.pages[number]
        if isinstance(page, tifffile.TiffFrame):
            page = page.aspage()
        # Aperio's label and macro are reduced images too, but stripped; another aspect is another picture.
        if page.is_tiled and (page.subfiletype & 1 or tiff.is_svs) and _same_aspect(first, page):
            pages.append(page)
    return pages


def _same_aspect(first: Any, page: Any) -> bool:
    if not 0 < page.imagewidth < first.imagewidth or not 0 < page.imagelength < first.imagelength:
        return False
    downsample = first.imagewidth / page.imagewidth
    return bool(abs(first.imagelength / downsample - page.imagelength) <= max(2.0, 0.01 * page.imagelength))


def _level(page: Any, file_size: int) -> _Level:
    """Describe a page; ValueError says in words why this reader leaves it to others."""
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
    if compression == 1 and not page.is_tiled and page.is_contiguous:
        # Uncompressed rows can be cut anywhere: many writers put the whole image into one strip.
        _check_complete(offsets[:1], (width * samples * height,), file_size)
        tile_height = max(1, min(_ROWS_PER_READ, _MAX_TILE_PIXELS // width, height))
        offsets, counts = _row_blocks(offsets[0], width * samples, height, tile_height)
    n_tiles = math.ceil(width / tile_width) * math.ceil(height / tile_height)
    _require(tile_width * tile_height <= _MAX_TILE_PIXELS, f"strips of {tile_width} × {tile_height} px")
    _require(
        n_tiles <= _MAX_TILES and len(offsets) == len(counts) == n_tiles, f"{len(offsets)} of {n_tiles} tiles"
    )
    _check_complete(offsets, counts, file_size)
    shape = (tile_height, tile_width, samples)
    if compression == _JPEG:
        space = "rgb" if photometric == _RGB else "ycbcr" if photometric == _YCBCR else "grayscale"
        decode = partial(_decode_jpeg, tables=page.jpegtables, space=space, shape=shape)
    elif compression == 1:
        decode = partial(_decode_raw, shape=shape)
    else:
        decode = partial(_decode_other, page=page, shape=shape)
    return _Level(width, height, tile_width, tile_height, offsets, counts, decode)


def _require(is_met: bool, found: str) -> None:
    if not is_met:
        raise ValueError(f"its TIFF layout ({found}) is not one of the fast reader")


def _row_blocks(
    start: int, row_bytes: int, height: int, rows: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    tops = range(0, height, rows)
    return (
        tuple(start + top * row_bytes for top in tops),
        tuple(min(rows, height - top) * row_bytes for top in tops),
    )


def _check_complete(offsets: tuple[int, ...], counts: tuple[int, ...], file_size: int) -> None:
    ends = np.asarray(offsets, dtype=np.float64) + np.asarray(counts, dtype=np.float64)
    if len(ends) and float(ends.max()) > file_size:
        index = int(ends.argmax())
        raise EOFError(
            f"it is truncated: tile {index} of {len(ends)} ends at byte {int(ends[index])}, "
            f"the file at byte {file_size}"
        )


def _decode_jpeg(
    data: bytes, index: int, *, tables: bytes | None, space: str, shape: tuple[int, int, int]
) -> _Tile:
    wanted = "grayscale" if space == "grayscale" else "rgb"
    tile = imagecodecs.jpeg8_decode(data, tables=tables, colorspace=space, outcolorspace=wanted)
    return _as_tile(tile, shape)


def _decode_raw(data: bytes, index: int, *, shape: tuple[int, int, int]) -> _Tile:
    rows = min(shape[0], len(data) // (shape[1] * shape[2]))
    flat = np.frombuffer(data, np.uint8, rows * shape[1] * shape[2])
    return _as_tile(flat.reshape(rows, shape[1], shape[2]), shape)


def _decode_other(data: bytes, index: int, *, page: Any, shape: tuple[int, int, int]) -> _Tile:
    decoded, _, _ = page.decode(data, index)
    return _as_tile(decoded.reshape(decoded.shape[-3:]), shape)


def _as_tile(tile: NDArray[Any], shape: tuple[int, int, int]) -> _Tile:
    """Check a decoded tile; the last strip of an image may be shorter, and a tile at the edge cut."""
    tile = tile[..., None] if tile.ndim == 2 else tile
    if tile.dtype != np.uint8 or tile.shape[2] != shape[2]:
        raise ImageReadError(f"its pixels are {tile.dtype} with {tile.shape[2]} samples")
    if tile.shape[0] < shape[0] or tile.shape[1] < shape[1]:
        full = np.full(shape, 255, np.uint8)
        full[: tile.shape[0], : tile.shape[1]] = tile[: shape[0], : shape[1]]
        return full
    return tile
