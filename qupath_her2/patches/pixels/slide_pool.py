"""Pool of open slides, bounded in memory and shared between threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.view import open_view

if TYPE_CHECKING:
    from qupath_her2.patches.table import ManifestImage
    from qupath_her2.records import SlideRef
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["SlidePool"]

#: Memory of an open pyramidal slide: roughly its reader's tile cache.
_READER_BYTES = 64 << 20


@dataclass(slots=True, eq=False)
class _Entry:
    """A slide or the reason it could not be opened, and the number of threads reading from it."""

    opening: Lock = field(default_factory=Lock)
    slide: Slide | None = None
    problem: str | None = None
    users: int = 0
    n_bytes: int = 0
    is_retired: bool = False


class SlidePool:
    """Opens images on first use and closes the least recently used when they exceed a memory limit.

    Parameters
    ----------
    images
        Images of a manifest, or slides; more may be appended later.
    max_bytes
        Approximate limit of the memory of open slides; the last one used always stays open.
    """

    def __init__(self, images: Sequence[ManifestImage | SlideRef], max_bytes: int) -> None:
        self._images = images
        self._max_bytes = max_bytes
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def lease(self, index: int) -> Iterator[Slide]:
        """Yield an open image that stays open until the block ends.

        Raises
        ------
        ImageReadError
            The image cannot be opened; later leases raise the same without trying again.
        """
        with self._lock:
            entry = self._entries.setdefault(index, _Entry())
            self._entries.move_to_end(index)
            entry.users += 1
        try:
            yield self._opened(entry, self._images[index])
        finally:
            with self._lock:
                entry.users -= 1
                closing = self._surplus()
                if entry.is_retired and entry.users == 0 and entry.slide is not None:
                    closing.append(entry.slide)
            # Outside the lock: closing may wait for the file system.
            for slide in closing:
                slide.close()

    def _opened(self, entry: _Entry, image: ManifestImage | SlideRef) -> Slide:
        # A lock per entry: while one thread decodes a flat image, others keep working on other images.
        with entry.opening:
            if entry.problem is not None:
                raise ImageReadError(entry.problem)
            if entry.slide is None:
                try:
                    slide = _open(image)
                except ImageReadError as error:
                    entry.problem = str(error)
                    raise
                entry.n_bytes = _memory(slide)
                entry.slide = slide
            return entry.slide

    def adopt(self, index: int, slide: Slide) -> None:
        """Use an open slide as image `index`; call before its first lease."""
        with self._lock:
            self._entries[index] = _Entry(slide=slide, n_bytes=_memory(slide))

    def retire(self, index: int, slide: Slide) -> None:
        """Retire a slide: the next lease opens the image again; `slide` is closed after its last current user."""
        with self._lock:
            entry = self._entries.get(index)
            # Another thread may have retired the same slide already.
            if entry is not None and entry.slide is slide:
                entry.is_retired = True
                del self._entries[index]

    def forget(self, index: int) -> None:
        """Close a slide after its last current user; a later lease opens the image again."""
        with self._lock:
            entry = self._entries.pop(index, None)
            if entry is None:
                return
            entry.is_retired = True
            unused = entry.slide if entry.users == 0 else None
        if unused is not None:
            unused.close()

    def open_private(self, index: int) -> Slide:
        """Open the image apart from the pool; the caller closes it. Raises ImageReadError."""
        return _open(self._images[index])

    def _surplus(self) -> list[Slide]:
        """Remove slides until the rest fit the limit, least recently used first, and return them to be closed."""
        total = sum(entry.n_bytes for entry in self._entries.values())
        closing = []
        # The last entry is the one just used: closing it would only make the next read open it again.
        for index, entry in list(self._entries.items())[:-1]:
            if total <= self._max_bytes:
                break
            if entry.users == 0 and entry.slide is not None:
                closing.append(entry.slide)
                total -= entry.n_bytes
                del self._entries[index]
        return closing

    def close(self) -> None:
        """Close all slides; a later lease opens them again."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            if entry.slide is not None:
                entry.slide.close()


def _memory(slide: Slide) -> int:
    # The plain reader decodes the whole image into memory, RGB of 8 bits.
    return slide.width * slide.height * 3 if slide.reader == "plain" else _READER_BYTES


def _open(image: ManifestImage | SlideRef) -> Slide:
    return open_view(image.path, image.chain, width=image.width, height=image.height)
