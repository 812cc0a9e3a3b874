"""Freed memory goes back to the system: the arrays of the tiles of a slide must not add up in the allocator."""

from __future__ import annotations

import ctypes
import functools

__all__ = ["return_freed_memory"]

#: glibc's ``M_MMAP_THRESHOLD`` (malloc.h), and the size from which an array is mapped by itself, bytes.
_MMAP_THRESHOLD, _MAPPED_FROM = -3, 1_000_000


@functools.cache
def return_freed_memory() -> bool:
    """Let this process map arrays of a megabyte and more by themselves, so that freeing one frees its memory.

    glibc raises that size with each larger array that is freed, up to 32 MB. The columns of tiles then lie between
    lasting objects, and their memory stays with the process: of a slide with 776,000 cells, half a gigabyte.

    Returns
    -------
    bool
        False where the system has another allocator, which is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _MAPPED_FROM))
