"""Data loading: from rows of a manifest to the input of a network.

Threads read 8-bit pixels into one buffer per batch (page-locked for a GPU). Everything after that, stain normalisation,
augmentation and scaling to the network's mean and standard deviation, happens on the device, for the whole batch.
Batches arrive in the requested order, with any number of threads.

Own code: torch's DataLoader starts processes, each of which would open every slide again and copy its pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchReadError, SettingsError
from qupath_her2.learning.train.augment import apply_geometry, draw_augmentation, transform_targets
from qupath_her2.learning.train.stain_space import DensityMaps, map_densities
from qupath_her2.models.settings import AugmentSettings, ReadSettings

if TYPE_CHECKING:
    from torch import Tensor

    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = [
    "Batch",
    "PatchReader",
    "Preparation",
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


class Preparation:
    """Preprocessing: turns 8-bit patches into the input of a network, on the device.

    Parameters
    ----------
    manifest
        Manifest of the patches.
    mean, std
        Normalisation of the network, for RGB in 0..1.
    stain_maps
        Stain normalisation of each image of the manifest, e.g. by Macenko, or None.
    augment
        Augmentation in training, or None.
    seed
        Seed of the augmentation.
    """

    def __init__(
        self,
        manifest: PatchManifest,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        stain_maps: Sequence[DensityMap] | None = None,
        augment: AugmentSettings | None = None,
        seed: int = 0,
    ) -> None:
        if stain_maps is not None and len(stain_maps) != len(manifest.images):
            raise SettingsError(
                f"{len(stain_maps)} stain maps were given for {len(manifest.images)} images. Give one per image."
            )
        self._image = manifest.image
        # For values 0..255, value * scale + shift equals (value / 255 - mean) / std.
        self._scale = [1 / (255 * s) for s in std]
        self._shift = [-m / s for m, s in zip(mean, std, strict=True)]
        self._scratch: Tensor | None = None
        self._maps = None if stain_maps is None else DensityMaps.stack(stain_maps)
        self._augment = augment
        self._seed = seed

    def __call__(self, patches: Tensor, rows: NDArray[np.int64], epoch: int = 0) -> Tensor:
        """Return the network's input.

        Parameters
        ----------
        patches
            uint8 (n, side, side, 3) RGB, on the device.
        rows
            int64 (n,), their rows in the manifest.
        epoch
            Epoch of the training, which determines the augmentation together with seed and row.

        Returns
        -------
        Tensor
            float32 (n, 3, side, side), normalised, in channels-last layout. On a CPU the next call may overwrite it.
        """
        import torch

        if patches.device.type == "cpu" and self._augment is None and self._maps is None:
            return self._by_table(patches)
        # A permuted view of interleaved RGB is what torch calls channels-last: nothing is copied.
        values = patches.permute(0, 3, 1, 2).float()
        drawn = None if self._augment is None else draw_augmentation(self._augment, self._seed, epoch, rows)
        maps = self._maps_of(rows)
        if drawn is not None and drawn.stains is not None:
            maps = drawn.stains if maps is None else maps.then(drawn.stains)
        if maps is not None:
            values = map_densities(values, maps)
        if drawn is not None:
            values = apply_geometry(values, drawn)
        scale, shift = (torch.tensor(v, device=values.device) for v in (self._scale, self._shift))
        return values * scale[:, None, None] + shift[:, None, None]

    def targets(self, targets: Tensor, rows: NDArray[np.int64], epoch: int = 0) -> Tensor:
        """Augment pixel classes as `__call__` augments the same rows' patches.

        Parameters
        ----------
        targets
            uint8 (n, side, side), on the device.
        rows
            int64 (n,), their rows in the manifest.
        epoch
            Epoch of the training.

        Returns
        -------
        Tensor
            uint8 (n, side, side), 255 = unlabelled.
        """
        if self._augment is None:
            return targets
        return transform_targets(targets, draw_augmentation(self._augment, self._seed, epoch, rows))

    def _by_table(self, patches: Tensor) -> Tensor:
        """Normalise with a table of the 256 values, into a buffer that is reused.

        On a CPU this is faster than arithmetic: allocating a new batch costs more than computing it.
        """
        import torch

        n, high, wide, _ = patches.shape
        if (
            self._scratch is None
            or self._scratch.shape[0] < n
            or self._scratch.shape[1:] != patches.shape[1:]
        ):
            # A tensor created in inference mode could not take part in a later backward pass.
            with torch.inference_mode(False):
                self._scratch = torch.empty((n, high, wide, 3))
        out = self._scratch[:n]
        table = np.arange(256)[:, None] * np.array(self._scale) + np.array(self._shift)
        lines = (n * high, wide, 3)
        cv2.LUT(
            patches.numpy().reshape(lines), table[None].astype(np.float32), dst=out.numpy().reshape(lines)
        )
        return out.permute(0, 3, 1, 2)

    def _maps_of(self, rows: NDArray[np.int64]) -> DensityMaps | None:
        if self._maps is None:
            return None
        image = self._image[rows]
        every = self._maps
        # One map per image is stored, one per patch is needed.
        return DensityMaps(
            every.matrix[image], every.offset[image], every.white_in[image], every.white_out[image]
        )
