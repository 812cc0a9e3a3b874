"""Data loading: batches of 8-bit patches, read by threads into one buffer per batch (page-locked for a GPU).

Batches arrive in the requested order, with any number of threads; `preprocessing` turns them into a network's input.

Own code: torch's DataLoader starts processes, each of which would open every slide again and copy its pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchReadError
from qupath_her2.models.settings import ReadSettings

if TYPE_CHECKING:
    from torch import Tensor


__all__ = [
    "Batch",
    "PatchReader",
    "TargetReader",
    "read_batches",
    "batch_rows",
]


class PatchReader(Protocol):
    """Source of patches, safe to read from several threads, such as `patches.pixels.patch_pixels.PatchPixels`."""

    def read_readable(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], list[PatchReadError]]:
        """Return uint8 (n, side, side, 3) RGB, and an error with its `row` for each patch that cannot be read."""
        ...


class TargetReader(Protocol):
    """Source of pixel classes, safe to read from several threads, such as `patches.targets.targets.Targets`."""

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return uint8 (n, side, side), class indices, 255 = unlabelled."""
        ...

    def pixel_counts(self) -> NDArray[np.int64]:
        """Return the number of pixels of each class in each patch, int64 (N, C)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A batch of patches in host memory.

    Attributes
    ----------
    rows
        int64 (n,), rows of the manifest.
    patches
        uint8 (n, side, side, 3) RGB.
    unread
        An error for each requested row that could not be read, and is not among `rows`.
    targets
        uint8 (n, side, side), pixel classes, or None.
    """

    rows: NDArray[np.int64]
    patches: Tensor
    unread: tuple[PatchReadError, ...]
    targets: Tensor | None = None


def batch_rows(rows: NDArray[np.int64], size: int, least: int = 1) -> list[NDArray[np.int64]]:
    """Divide rows into batches.

    Parameters
    ----------
    rows
        int64 (N,).
    size
        Rows per batch.
    least
        A last batch with fewer rows is merged into the one before it, see `TrainSettings.batch_size`.

    Returns
    -------
    list
        int64 arrays.
    """
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    if len(batches) > 1 and len(batches[-1]) < least:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


@dataclass(slots=True, eq=False)
class _PendingBatch:
    """A batch whose parts are still being read."""

    rows: NDArray[np.int64]
    patches: Tensor
    targets: Tensor | None
    parts: list[Future[list[PatchReadError]]]


def read_batches(
    pixels: PatchReader,
    batches: Iterable[NDArray[np.int64]],
    side_px: int,
    settings: ReadSettings,
    *,
    targets: TargetReader | None = None,
    pinned: bool = False,
) -> Generator[Batch, None, None]:
    """Read batches with several threads, and yield them in order.

    Parameters
    ----------
    pixels
        Reader of the patches.
    batches
        Rows of each batch.
    side_px
        Side of a patch, px.
    settings
        Threads and buffers.
    targets
        Reader of the pixel classes, or None.
    pinned
        Read into page-locked memory, from which a GPU copies asynchronously.

    Yields
    ------
    Batch
        One for each of `batches`, without the rows that could not be read.

    Raises
    ------
    Her2Error
        Errors of the reader, except those of single patches, which are in `Batch.unread`.
    """
    import torch

    def _read_part(
        rows: NDArray[np.int64], out: NDArray[np.uint8], truth: NDArray[np.uint8] | None
    ) -> list[PatchReadError]:
        """Read some rows straight into their places in the batch's buffers; return the errors of single patches."""
        out[:], failed = pixels.read_readable(rows)
        if targets is not None and truth is not None:
            truth[:] = targets.read(rows)
        return failed

    def submit(pool: ThreadPoolExecutor, rows: NDArray[np.int64]) -> _PendingBatch:
        patches = torch.empty((len(rows), side_px, side_px, 3), dtype=torch.uint8, pin_memory=pinned)
        truth = None
        if targets is not None:
            truth = torch.empty((len(rows), side_px, side_px), dtype=torch.uint8, pin_memory=pinned)
        out, step = patches.numpy(), settings.rows_at_once
        own = None if truth is None else truth.numpy()
        starts = range(0, len(rows), step)
        parts = [
            pool.submit(
                _read_part, rows[k : k + step], out[k : k + step], None if own is None else own[k : k + step]
            )
            for k in starts
        ]
        return _PendingBatch(rows, patches, truth, parts)

    with ThreadPoolExecutor(settings.threads, "her2-patches") as pool:
        pending: deque[_PendingBatch] = deque()
        try:
            for rows in batches:
                pending.append(submit(pool, rows))
                # Memory is bounded by the batches submitted, not by the speed of the consumer.
                if len(pending) > settings.batches_ahead:
                    yield _finish(pending.popleft())
            while pending:
                yield _finish(pending.popleft())
        finally:
            # The consumer stopped early: parts not yet begun are dropped, or closing would wait for all of them.
            for batch in pending:
                for future in batch.parts:
                    future.cancel()


def _finish(batch: _PendingBatch) -> Batch:
    unread = tuple(error for future in batch.parts for error in future.result())
    if not unread:
        return Batch(batch.rows, batch.patches, (), batch.targets)
    good = np.flatnonzero(~np.isin(batch.rows, [error.row for error in unread]))
    # Indexing gives memory that is not page-locked; only the few batches with unreadable patches pay for that.
    truth = None if batch.targets is None else batch.targets[good.tolist()]
    return Batch(batch.rows[good], batch.patches[good.tolist()], unread, truth)
