"""Keeping a GPU busy: pixels arrive on a stream of their own, results leave without being waited for."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.learning.dataset import Batch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["DeviceClock", "DeviceResults", "upload_batches"]

#: Batches whose work may be queued on the GPU at once.
_IN_FLIGHT = 3


def upload_batches(batches: Iterable[Batch], device: torch.device) -> Iterator[tuple[Batch, Tensor]]:
    """Yield batches with their patches on the device; a GPU fetches them while it computes the ones before.

    Their host memory must be page-locked for that; torch keeps it from being used again until they are there.
    """
    import torch

    if device.type != "cuda":
        yield from ((batch, batch.patches.to(device)) for batch in batches)
        return
    fetching = torch.cuda.Stream(device)
    for batch in batches:
        with torch.cuda.stream(fetching):
            patches = batch.patches.to(device, non_blocking=True)
        computing = torch.cuda.current_stream(device)
        computing.wait_stream(fetching)
        # Its memory belongs to the other stream, which must not hand it out again while it is computed with.
        patches.record_stream(computing)
        yield batch, patches


class DeviceResults:
    """Probabilities that stay on the device until their slide is done, and leave it without being waited for."""

    def __init__(self, image: NDArray[np.int32], device: torch.device) -> None:
        self._image = image
        self._device, self._pinned = device, device.type == "cuda"
        self._held: list[tuple[NDArray[np.int64], Tensor]] = []
        self._left: list[tuple[NDArray[np.int64], Tensor]] = []

    def add(self, rows: NDArray[np.int64], probabilities: Tensor) -> None:
        """Keep a batch, float32 (n, C); batches come slide by slide."""
        if self._held and self._image[self._held[-1][0][-1]] != self._image[rows[0]]:
            self._send()
        self._held.append((rows, probabilities))

    def _send(self) -> None:
        import torch

        together = torch.cat([probabilities for _, probabilities in self._held])
        here = torch.empty(together.shape, dtype=together.dtype, pin_memory=self._pinned)
        here.copy_(together, non_blocking=self._pinned)
        self._left.append((np.concatenate([rows for rows, _ in self._held]), here))
        self._held.clear()

    def collected(self, n: int, n_classes: int) -> NDArray[np.float32]:
        """Return all of them, float32 (n, n_classes), NaN in rows that were never added."""
        import torch

        if self._held:
            self._send()
        if self._pinned:
            torch.cuda.synchronize(self._device)
        out = np.full((n, n_classes), np.nan, np.float32)
        for rows, probabilities in self._left:
            out[rows] = probabilities.numpy()
        return out


class DeviceClock:
    """Keeps the GPU's queue short, and adds up the time it computes."""

    def __init__(self, device: torch.device) -> None:
        self._is_gpu = device.type == "cuda"
        self._open: deque[tuple[Any, Any]] = deque()
        self._busy_ms = 0.0

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Count what is computed in this block; wait if too many blocks are queued."""
        if not self._is_gpu:
            yield
            return
        import torch

        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        yield
        end.record()
        self._open.append((start, end))
        if len(self._open) >= _IN_FLIGHT:
            self._close()

    def _close(self) -> None:
        start, end = self._open.popleft()
        end.synchronize()
        self._busy_ms += start.elapsed_time(end)

    def busy_s(self) -> float:
        """Return the seconds counted; NaN on a processor."""
        if not self._is_gpu:
            return math.nan
        while self._open:
            self._close()
        return self._busy_ms / 1000
