"""The pixels of a manifest's patches, read from the slides when they are asked for.

Neighbours are read in one window of the slide (supertiles) and cut out of it, so that a tile of the file is
decoded once. What a patch looks like does not depend on its neighbours: scaling comes after the cutting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError, PatchReadError
from qupath_her2.patches.pixels.clahe import ClaheSettings, equalised
from qupath_her2.patches.pixels.patch_cache import PatchCache
from qupath_her2.patches.pixels.slide_pool import OpenSlides
from qupath_her2.patches.pixels.windows import Window, read_window, scaled, window_for

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from qupath_her2.patches.table import PatchManifest
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["PatchPixels", "reading_order"]

#: Side of a supertile in px of the level it is read from: 12 MB of pixels, 64 tiles of 256 px.
_SUPERTILE_PX = 2048
#: A supertile is read where at most this much more is read than its patches need.
_MOST_WASTE = 1.5

_Pixels = NDArray[np.uint8]


class PatchPixels:
    """Reads patches of a manifest; safe to call from several threads.

    Parameters
    ----------
    manifest
        Says which images, boxes and size; its setting ``clahe`` (`ClaheSettings` as a dict, or None) is
        applied to each patch.
    open_bytes
        Slides are kept open, least recently used closed first, up to about this much memory.
    cache_bytes
        Patches kept after the first reading, up to this much memory; 0 keeps none. Worth it where
        patches of many flat JPEG or PNG images are read in shuffled order: each would be decoded anew.
    """

    def __init__(self, manifest: PatchManifest, *, open_bytes: int = 1 << 30, cache_bytes: int = 0) -> None:
        self.manifest = manifest
        clahe = manifest.settings.get("clahe")
        self._clahe = None if clahe is None else ClaheSettings(**clahe)
        self._slides = OpenSlides(manifest.images, open_bytes)
        self._cache = PatchCache(cache_bytes)

    def read(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> _Pixels:
        """Return the patches of some rows, in that order.

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
            The first patch that cannot be read: its image, box and why; `row` is its row.
        """
        pixels, failed = self.read_readable(indices)
        if failed:
            raise failed[0]
        return pixels

    def read_readable(
        self, indices: Sequence[int] | NDArray[np.integer[Any]]
    ) -> tuple[_Pixels, list[PatchReadError]]:
        """Return the patches of some rows, white for those that cannot be read, and an error for each of these.

        Parameters
        ----------
        indices
            Rows of the manifest.

        Returns
        -------
        pixels
            uint8 (n, patch_size_px, patch_size_px, 3) RGB.
        failed
            In the order of `indices`; `row` of each is its row.
        """
        rows = np.asarray(indices, np.int64).reshape(-1)
        side = self.manifest.patch_size_px
        out = np.empty((len(rows), side, side, 3), np.uint8)
        failed: dict[int, PatchReadError] = {}
        wanted = [place for place, row in enumerate(rows.tolist()) if not self._cache.copy(row, out[place])]
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
        """Yield (place, raw pixels or why there are none); what fails together is tried one by one."""
        union = windows[members[0]] if len(members) == 1 else Window.around([windows[m] for m in members])
        with self._slides.lease(image) as slide:
            try:
                pixels = read_window(slide, union)
            except ImageReadError:
                # A handle of OpenSlide that failed once fails for ever, in every thread that shares it.
                self._slides.renew(image, slide)
            else:
                for place in members:
                    yield place, pixels if len(members) == 1 else windows[place].cut(pixels, union)
                return
        yield from self._read_each(image, windows, members)

    def _read_each(
        self, image: int, windows: dict[int, Window], members: list[int]
    ) -> Iterator[tuple[int, _Pixels | ImageReadError]]:
        """Yield as `_read_block`, from handles that nobody shares and that no failure has touched."""
        slide = self._slides.fresh(image)
        try:
            for place in members:
                try:
                    pixels = read_window(slide, windows[place])
                except ImageReadError as error:
                    slide.close()
                    slide = self._slides.fresh(image)
                    yield place, error
                else:
                    yield place, pixels
        finally:
            slide.close()

    def _finished(self, pixels: _Pixels) -> _Pixels:
        patch = scaled(pixels, self.manifest.patch_size_px)
        return patch if self._clahe is None else equalised(patch, self._clahe)

    def _error(self, row: int, cause: ImageReadError) -> PatchReadError:
        x, y, width, height = self.manifest.box_xywh[row].tolist()
        name = self.manifest.images[self.manifest.image[row]].name
        error = PatchReadError(
            f"Patch {row} of image '{name}' at x {x}, y {y} ({width} × {height} px): {cause}", row
        )
        error.__cause__ = cause
        return error

    def adopt(self, image: int, slide: Slide) -> None:
        """Use a slide that is open already for image number `image`; it is closed with the others."""
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
    """Yield groups of places whose windows are read at once; `alone` puts each into its own."""
    fields: dict[tuple[int, ...], list[int]] = {}
    for place, window in windows.items():
        field = (window.level, window.left // _SUPERTILE_PX, window.top // _SUPERTILE_PX)
        fields.setdefault((place,) if alone else field, []).append(place)
    for members in fields.values():
        union = Window.around([windows[place] for place in members])
        needed = sum(windows[place].area for place in members)
        if union.area <= _MOST_WASTE * needed and union.area <= (2 * _SUPERTILE_PX) ** 2:
            yield members
        else:
            yield from ([place] for place in members)


def reading_order(manifest: PatchManifest) -> NDArray[np.int64]:
    """Return all rows, int64 (N,), so that patches that are read at once follow each other, image by image.

    Batches cut from this order cost the least to read; put results back with ``out[rows] = batch``.
    """
    x, y, width, height = manifest.box_xywh.astype(np.int64).T
    # The level is not known here; a box as large as a patch tells its downsample.
    field_side = _SUPERTILE_PX * np.maximum(1, np.minimum(width, height) // manifest.patch_size_px)
    return np.lexsort((x, y, x // field_side, y // field_side, manifest.image))
