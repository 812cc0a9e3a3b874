"""Fast TIFF reader for tiled or stripped 8-bit RGB and grey TIFF, SVS and OME-TIFF, on tifffile and imagecodecs.

JPEG tiles are decoded by libjpeg-turbo with the colour space and default up-sampling that OpenSlide requests, so the
pixels are bit-identical; `qupath_her2.slides.readers.slide.open_slide` verifies this for each file.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.base import DECODE_ERRORS, BaseSlide, read_error
from qupath_her2.slides.readers.limits import LimitError
from qupath_her2.slides.readers.tiff_layout import Tile, describe_levels
from qupath_her2.slides.readers.tiff_metadata import open_tiff, tiff_pixel_size_um
from qupath_her2.slides.readers.tiff_series import choose_picture

__all__ = ["TiffSlide"]


class _File:
    """Reads at given offsets of one file, safe for several threads."""

    def __init__(self, path: Path) -> None:
        self._stream: BinaryIO = path.open("rb")
        self._lock = threading.Lock()
        self.size = path.stat().st_size

    def read(self, offset: int, count: int) -> bytes:
        # seek and read share the file position; os.pread would need no lock but does not exist on Windows.
        with self._lock:
            self._stream.seek(offset)
            data = self._stream.read(count)
        if len(data) != count:
            raise EOFError(
                f"the file ends at byte {offset + len(data)}, but a tile reaches to {offset + count}"
            )
        return data

    def close(self) -> None:
        self._stream.close()


class _TileCache:
    """Cache of decoded tiles, bounded in bytes; the least recently used are dropped first."""

    def __init__(self, max_bytes: int) -> None:
        self._tiles: OrderedDict[tuple[int, int], Tile] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = 0
        self._max_bytes = max_bytes

    def get(self, key: tuple[int, int]) -> Tile | None:
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def put(self, key: tuple[int, int], tile: Tile) -> None:
        with self._lock:
            # Two threads may have decoded the same tile: counting its bytes twice would shrink the cache for good.
            if key in self._tiles:
                return
            self._tiles[key] = tile
            self._bytes += tile.nbytes
            # A single tile over the limit is dropped at once: the cache never exceeds its limit.
            while self._bytes > self._max_bytes and self._tiles:
                self._bytes -= self._tiles.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        with self._lock:
            self._tiles.clear()
            self._bytes = 0


class TiffSlide(BaseSlide):
    """A pyramidal or flat TIFF whose tiles are decoded on demand, without holding the GIL.

    `describe_levels` says which pages count as pyramid levels.

    Parameters
    ----------
    path
        The image file.
    cache_bytes
        Size limit of the tile cache. Only tiles that a read covers in part are kept: those are needed again by the
        neighbouring window.
    series, plane
        Picture and plane as in `choose_picture`.

    Raises
    ------
    ImageReadError
        If the file is truncated or damaged, or of a kind that this reader does not support (16 bit, planar, CMYK,
        palette, JPEG 2000, one giant strip).
    """

    reader = "tiff"

    def __init__(
        self,
        path: Path | str,
        *,
        cache_bytes: int = 64 * 2**20,
        series: int | None = None,
        plane: int | None = None,
    ) -> None:
        path = Path(path)
        way_out = "Open it with reader='openslide', or export it as 8-bit RGB OME-TIFF from QuPath."
        try:
            with open_tiff(path) as tiff:
                chosen = choose_picture(tiff, series, plane)
                self._levels = describe_levels(tiff, path.stat().st_size, chosen.page)
                if len(chosen.pages) > 1 or chosen.is_volume:
                    raise ValueError(
                        "its planes or colours lie apart, which the fast reader does not support"
                    )
                pixel_size = tiff_pixel_size_um(tiff, chosen.page, chosen.series)
            self.is_first_page = chosen.is_first
            self._file = _File(path)
        except LimitError as error:
            raise read_error(path, error, error.way_out) from error
        except DECODE_ERRORS as error:
            raise read_error(path, error or type(error).__name__, way_out) from error
        self._cache = _TileCache(cache_bytes)
        self._reference: BaseSlide | None = None
        self._reference_levels: dict[int, int] = {}
        super().__init__(path, tuple((level.width, level.height) for level in self._levels), pixel_size)

    @property
    def has_missing_tiles(self) -> bool:
        """True if a tile has no bytes: white here, whereas OpenSlide fills it from another level (Aperio)."""
        return any(0 in level.byte_counts for level in self._levels)

    @property
    def needs_reference(self) -> bool:
        """True if `follow` left some levels to the reference reader."""
        return self._reference is not None

    def follow(self, reference: BaseSlide) -> bool:
        """Check that this reader returns the pixels of `reference`, and delegate levels that it interpolates.

        Three windows of each level are compared. OpenSlide interpolates on levels whose downsample is not a whole
        number; those are read through it, so that both readers stay bit-identical.

        Parameters
        ----------
        reference
            The same file, opened by OpenSlide. Kept open if it is needed for some level, else closed.

        Returns
        -------
        bool
            False if the levels or any pixel differ; then neither reader is closed.
        """
        sizes = {size: level for level, size in enumerate(self.level_dimensions)}
        if self.level_dimensions[0] != reference.level_dimensions[0]:
            return False
        if any(size not in sizes for size in reference.level_dimensions):
            return False
        # This reader may have more levels than OpenSlide, but each of OpenSlide's must be here.
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
        # Windows of 96 px at both ends and in the middle: they reveal another colour space, up-sampling or tile order.
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
        # The window lies within the level, so its tiles cover every pixel of it: no need to initialise.
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

    def _tile(self, level: int, index: int, *, keep: bool) -> Tile:
        """Return a decoded tile, (tile height, tile width, 3 or 1), and cache it if `keep`."""
        tile = self._cache.get((level, index))
        if tile is not None:
            return tile
        grid = self._levels[level]
        count = grid.byte_counts[index]
        # Writers leave tiles of pure background out (sparse TIFF).
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
