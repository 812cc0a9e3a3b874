"""Cache of finished patches in memory, bounded in bytes and safe to share between threads."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

__all__ = ["PatchCache"]


class PatchCache:
    """Least recently used cache of patches by manifest row; `max_bytes` 0 disables it."""

    def __init__(self, max_bytes: int) -> None:
        self._patches: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = Lock()

    def copy(self, row: int, out: NDArray[np.uint8]) -> bool:
        """Copy the patch of `row` into `out`; return False if it is not cached."""
        if self._max_bytes == 0:
            return False
        # Only the lookup is locked: stored patches are never written to again, so they may be copied outside.
        with self._lock:
            patch = self._patches.get(row)
            if patch is not None:
                self._patches.move_to_end(row)
        if patch is None:
            return False
        out[:] = patch
        return True

    def keep(self, row: int, patch: NDArray[np.uint8]) -> None:
        """Store a copy of `patch`; one larger than the whole cache is not stored."""
        if patch.nbytes > self._max_bytes:
            return
        with self._lock:
            if row in self._patches:
                return
            # A copy: a view would keep the whole batch that it was cut from alive.
            self._patches[row] = patch.copy()
            self._bytes += patch.nbytes
            while self._bytes > self._max_bytes:
                self._bytes -= self._patches.popitem(last=False)[1].nbytes
