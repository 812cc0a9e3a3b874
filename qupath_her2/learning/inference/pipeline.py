"""GPU pipeline: asynchronous uploads and downloads that keep the GPU busy during prediction."""

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

#: Batches queued on the GPU at most: enough to hide the CPU's work, few enough to bound memory.
_IN_FLIGHT = 3


def upload_batches(batches: Iterable[Batch], device: torch.device) -> Iterator[tuple[Batch, Tensor]]:
    """Upload batches; a GPU receives each one while it computes the batch before.

    Parameters
    ----------
    batches
        Batches in host memory, which must be page-locked for asynchronous copies; torch does not reuse it before they
        are done.
    device
        The device.

    Yields
    ------
    batch
        The batch in host memory.
    patches
        Its patches on the device, uint8 (n, side, side, 3).
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
        # The memory belongs to the upload stream, which must not reuse it while the network still reads it.
        patches.record_stream(computing)
        yield batch, patches


class DeviceResults:
    """Probabilities that stay on the device until their slide is done, and are then downloaded asynchronously."""

    def __init__(self, image: NDArray[np.int32], device: torch.device) -> None:
        self._image = image
        self._device, self._pinned = device, device.type == "cuda"
        self._held: list[tuple[NDArray[np.int64], Tensor]] = []
        self._left: list[tuple[NDArray[np.int64], Tensor]] = []

    def add(self, rows: NDArray[np.int64], probabilities: Tensor) -> None:
        """Store the probabilities of a batch, float32 (n, C); batches must arrive slide by slide."""
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
        """Return all probabilities, float32 (n, n_classes), NaN in rows that were not added."""
        import torch

        if self._held:
            self._send()
        # The only point at which the CPU waits for the downloads.
        if self._pinned:
            torch.cuda.synchronize(self._device)
        out = np.full((n, n_classes), np.nan, np.float32)
        for rows, probabilities in self._left:
            out[rows] = probabilities.numpy()
        return out


class DeviceClock:
    """Bounds the queue of the GPU, and measures its computing time."""

    def __init__(self, device: torch.device) -> None:
        self._is_gpu = device.type == "cuda"
        self._open: deque[tuple[Any, Any]] = deque()
        self._busy_ms = 0.0

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Measure what is computed in the context; wait at its end if too many are queued.

        Yields
        ------
        None
            The context adds its computing time to `busy_s`.
        """
        if not self._is_gpu:
            yield
            return
        import torch

        # Events are recorded by the GPU itself: measuring does not make the CPU wait.
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
        """Return the measured computing time, seconds; NaN on a CPU."""
        if not self._is_gpu:
            return math.nan
        while self._open:
            self._close()
        return self._busy_ms / 1000
