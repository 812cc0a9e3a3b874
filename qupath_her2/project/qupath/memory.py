"""Memory of the QuPath that push and pull start: the estimated Java heap, and the share of the machine it may take."""

from __future__ import annotations

import os
import sys

from qupath_her2.errors import QuPathError

__all__ = ["checked_heap_mb", "estimate_heap_mb", "machine_memory_mb", "out_of_memory"]

#: Heap in MB that QuPath needs without any objects: its classes, Groovy, tiles of an open image.
_BASE_MB = 700
#: Heap in bytes per object while it is read, changed and saved: a cell with nucleus (24 + 16 vertices) and 10
#: measurements takes about 2.1 kB, and saving keeps a compressed copy of all objects.
_OBJECT_BYTES = 3_000
#: Share of the machine's memory that may be given to Java.
_MAX_MEMORY_SHARE = 0.8


def estimate_heap_mb(n_objects: int) -> int:
    """Return the Java heap in MB for images of at most `n_objects` objects, including those to be added."""
    return _BASE_MB + int(n_objects * _OBJECT_BYTES / 1e6)


def machine_memory_mb() -> int | None:
    """Return the memory of this machine in MB; None if the system does not tell."""
    if sys.platform == "win32":
        import ctypes

        size = ctypes.c_ulonglong()
        known = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(size))
        return size.value // 1024 if known else None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError):
        return None


def checked_heap_mb(wanted_mb: int | None, n_objects: int) -> int:
    """Return the Java heap in MB to request for push and pull.

    Raises
    ------
    QuPathError
        The machine has too little memory; raised before anything is loaded.
    """
    heap_mb = wanted_mb or estimate_heap_mb(n_objects)
    memory_mb = machine_memory_mb()
    # A heap given by the user is not questioned: the estimate may be too high for simple objects.
    if wanted_mb is None and memory_mb is not None and heap_mb > _MAX_MEMORY_SHARE * memory_mb:
        raise QuPathError(
            f"QuPath would need about {heap_mb / 1024:.0f} GB for {n_objects:,} objects in one image; this machine "
            f"has {memory_mb / 1024:.0f} GB. Use a larger machine, or try with less memory: "
            f"--heap {int(memory_mb * 0.7)}."
        )
    return heap_mb


def out_of_memory(version: str, heap_mb: int) -> str:
    """Return the message after a QuPath of this version ran out of its heap, MB."""
    return f"QuPath {version} ran out of memory ({heap_mb} MB). Give it more: --heap {2 * heap_mb}."
