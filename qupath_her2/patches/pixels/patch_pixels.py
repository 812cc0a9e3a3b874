"""The pixels of a manifest's patches, read from the slides on demand.

Neighbouring patches are read in one window of the slide (a supertile) and cut out of it, so that each tile of the file
is decoded once. A patch looks the same whatever its neighbours are, because it is resized after being cut out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError, PatchReadError
from qupath_her2.patches.pixels.clahe import ClaheSettings, apply_clahe
from qupath_her2.patches.pixels.patch_cache import PatchCache
from qupath_her2.patches.pixels.slide_pool import SlidePool
from qupath_her2.patches.pixels.windows import Window, read_window, resize_patch, window_for

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from qupath_her2.patches.table import PatchManifest
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["PatchPixels", "reading_order"]

#: Side of a supertile in px of the level it is read from: 12 MB of pixels, 64 tiles of 256 px.
_SUPERTILE_PX = 2048
#: Patches are read as a supertile if its area is at most this many times the sum of theirs.
_MOST_WASTE = 1.5

_Pixels = NDArray[np.uint8]


class PatchPixels:
    """Reads patches of a manifest; safe to call from several threads.

    Parameters
    ----------
    manifest
        Images, boxes and patch size; its setting ``clahe`` (`ClaheSettings` as a dict, or None) is applied to each
        patch.
    open_bytes
        Memory for slides kept open, bytes, approximate; the least recently used are closed first.
    cache_bytes
        Memory for patches kept after they are first read, bytes; 0 keeps none. Useful where patches of many flat
        JPEG or PNG images are read in shuffled order, since each image would be decoded again for every patch.
    """

    def __init__(self, manifest: PatchManifest, *, open_bytes: int = 1 << 30, cache_bytes: int = 0) -> None:
        self.manifest = manifest
        clahe = manifest.settings.get("clahe")
        self._clahe = None if clahe is None else ClaheSettings(**clahe)
        self._slides = SlidePool(manifest.images, open_bytes)
        self._cache = PatchCache(cache_bytes)

    def read(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> _Pixels:
        """Return the patches of given rows, in that order.

        Parameters
        ----------
        indices
            Rows of the manifest.

        Returns
        -------
        _Pixels
            uint8 (n, patch_size_px, patch_size_px, 3) RGB; white beyond the image's edge.

        Raises
        ------
        PatchReadError
            A patch cannot be read; the error names the first such patch, its image, box and cause, and `row`.
        """
        pixels, failed = self.read_readable(indices)
        if failed:
            raise failed[0]
        return pixels

    def read_readable(
        self, indices: Sequence[int] | NDArray[np.integer[Any]]
    ) -> tuple[_Pixels, list[PatchReadError]]:
        """Return the patches of given rows, with an error for each patch that cannot be read.

        Parameters
        ----------
        indices
            Rows of the manifest.

        Returns
        -------
        pixels
            uint8 (n, patch_size_px, patch_size_px, 3) RGB; white where a patch cannot be read.
        failed
            The errors in the order of `indices`, each with its `row`.
        """
        rows = np.asarray(indices, np.int64).reshape(-1)
        side = self.manifest.patch_size_px
        out = np.empty((len(rows), side, side, 3), np.uint8)
        failed: dict[int, PatchReadError] = {}
        wanted = [place for place, row in enumerate(rows.tolist()) if not self._cache.copy(row, out[place])]
        # Image by image, so that each slide is leased once per call, however the rows are shuffled.
        by_image: dict[int, list[int]] = {}
        for place in wanted:
            by_image.setdefault(int(self.manifest.image[rows[place]]), []).append(place)
        for image, places in by_image.items():
            try:
                self._read_image(image, rows, places, out, failed)
            except ImageReadError as error:
                failed |= {place: self._error(int(rows[place]), error) for place in places}
        out[sorted(failed)] = 255
        return out, [failed[place] for place in sorted(failed)]

    def _read_image(
        self,
        image: int,
        rows: NDArray[np.int64],
        places: list[int],
        out: _Pixels,
        failed: dict[int, PatchReadError],
    ) -> None:
        side = self.manifest.patch_size_px
        boxes = self.manifest.box_xywh[rows[places]].tolist()
        # The lease ends before reading starts: each block takes one of its own, so that a handle can be retired.
        with self._slides.lease(image) as slide:
            windows = {place: window_for(slide, box, side) for place, box in zip(places, boxes, strict=True)}
            is_flat = slide.reader == "plain"
        for members in _supertiles(windows, alone=is_flat):
            for place, pixels in self._read_block(image, windows, members):
                if isinstance(pixels, ImageReadError):
                    failed[place] = self._error(int(rows[place]), pixels)
                    continue
                out[place] = self._finished(pixels)
                self._cache.keep(int(rows[place]), out[place])

    def _read_block(
        self, image: int, windows: dict[int, Window], members: list[int]
    ) -> Iterator[tuple[int, _Pixels | ImageReadError]]:
        """Yield (position in the batch, pixels or error); if the joint read fails, patches are read one by one."""
        union = windows[members[0]] if len(members) == 1 else Window.around([windows[m] for m in members])
        with self._slides.lease(image) as slide:
            try:
                pixels = read_window(slide, union)
            except ImageReadError:
                # An OpenSlide handle that failed once returns errors from then on, in every thread that shares it.
                self._slides.retire(image, slide)
            else:
                for place in members:
                    yield place, pixels if len(members) == 1 else windows[place].cut(pixels, union)
                return
        yield from self._read_each(image, windows, members)

    def _read_each(
        self, image: int, windows: dict[int, Window], members: list[int]
    ) -> Iterator[tuple[int, _Pixels | ImageReadError]]:
        """Yield as `_read_block` does, from a private slide handle that is reopened after each failure."""
        slide = self._slides.open_private(image)
        try:
            for place in members:
                try:
                    pixels = read_window(slide, windows[place])
                except ImageReadError as error:
                    slide.close()
                    slide = self._slides.open_private(image)
                    yield place, error
                else:
                    yield place, pixels
        finally:
            slide.close()

    def _finished(self, pixels: _Pixels) -> _Pixels:
        patch = resize_patch(pixels, self.manifest.patch_size_px)
        return patch if self._clahe is None else apply_clahe(patch, self._clahe)

    def _error(self, row: int, cause: ImageReadError) -> PatchReadError:
        x, y, width, height = self.manifest.box_xywh[row].tolist()
        name = self.manifest.images[self.manifest.image[row]].name
        error = PatchReadError(
            f"Patch {row} of image '{name}' at x {x}, y {y} ({width} × {height} px): {cause}", row
        )
        error.__cause__ = cause
        return error

    def adopt(self, image: int, slide: Slide) -> None:
        """Use an already open slide for the image with this index; it is closed with the others."""
        self._slides.adopt(image, slide)

    def close(self) -> None:
        """Close all slides."""
        self._slides.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _supertiles(windows: dict[int, Window], *, alone: bool) -> Iterator[list[int]]:
    """Yield groups of batch positions whose windows are read at once; with `alone`, groups of one."""
    # A flat image is decoded as a whole when it is opened: joint reads would save nothing there.
    fields: dict[tuple[int, ...], list[int]] = {}
    for place, window in windows.items():
        field = (window.level, window.left // _SUPERTILE_PX, window.top // _SUPERTILE_PX)
        fields.setdefault((place,) if alone else field, []).append(place)
    for members in fields.values():
        # Sparse patches, as at random positions, are cheaper read one by one. A union can exceed a supertile, since
        # patches belong to the one that holds their corner: twice its side bounds the memory.
        union = Window.around([windows[place] for place in members])
        needed = sum(windows[place].area for place in members)
        if union.area <= _MOST_WASTE * needed and union.area <= (2 * _SUPERTILE_PX) ** 2:
            yield members
        else:
            yield from ([place] for place in members)


def reading_order(manifest: PatchManifest) -> NDArray[np.int64]:
    """Return all rows, int64 (N,), ordered so that patches of one supertile are consecutive, image by image.

    Batches taken in this order are the cheapest to read; put results back with ``out[rows] = batch``.
    """
    x, y, width, height = manifest.box_xywh.astype(np.int64).T
    # The pyramid level is not known before the slide is opened; the ratio of box to patch gives the downsample.
    field_side = _SUPERTILE_PX * np.maximum(1, np.minimum(width, height) // manifest.patch_size_px)
    return np.lexsort((x, y, x // field_side, y // field_side, manifest.image))
