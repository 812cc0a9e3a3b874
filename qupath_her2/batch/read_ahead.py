"""Reading ahead: the bytes of the next slide come from the disk or network while this one's cells are measured.

Only the file is read, into the system's cache: nothing is decoded, and what the cache has no room for is read again
later. On a local disk it makes little difference; on a network drive it hides the time in which one slide is done and
the next has not arrived.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

__all__ = ["MOST_BYTES", "read_ahead"]

#: Larger files are left alone: a cache that drops one end of a slide while the other is read helps nobody.
MOST_BYTES = 4 << 30
_BLOCK_BYTES = 8 << 20


@contextlib.contextmanager
def read_ahead(path: Path | None) -> Iterator[None]:
    """Read a file in the background until it ends or the block does.

    Parameters
    ----------
    path
        The image that follows; None reads nothing.
    """
    if path is None:
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_read, args=(path, done), name=f"reading {path.name} ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _read(path: Path, done: threading.Event) -> None:
    # A file that cannot be read is reported by its own job.
    with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
        if path.stat().st_size > MOST_BYTES:
            return
        while not done.is_set() and file.read(_BLOCK_BYTES):
            pass
