"""From rows of a manifest to what a network sees.

Threads read 8-bit pixels into one buffer a batch (pinned where a GPU waits for it); everything after that,
stain maps, augmentation, scaling to the network's mean and deviation, happens on the device, on the whole batch.
Batches come in the order asked for, however many threads read.
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
    """What hands out pixels: `patches.PatchPixels`, or anything that reads like it, from several threads."""

    def read_readable(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], list[PatchReadError]]:
        """Return uint8 (n, side, side, 3), and an error with its `row` for each patch that cannot be read."""
        ...


class TargetReader(Protocol):
    """What hands out the truth of every pixel: `patches.Targets`, or anything like it, from several threads."""

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return uint8 (n, side, side): class indices, 255 where nobody knows."""
        ...

    def pixel_counts(self) -> NDArray[np.int64]:
        """Return how many pixels of each class each patch has, int64 (N, C)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Patches that were read: `rows` int64 (n,), `patches` uint8 (n, side, side, 3) in the computer's memory,
    an error for each row that was asked for and is not among them, and `targets` uint8 (n, side, side) if any.
    """  # noqa: D205

    rows: NDArray[np.int64]
    patches: Tensor
    unread: tuple[PatchReadError, ...]
    targets: Tensor | None = None


def batch_rows(rows: NDArray[np.int64], size: int, least: int = 1) -> list[NDArray[np.int64]]:
    """Cut rows into batches of `size`; a remainder under `least` joins the last one (see `train`)."""
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    if len(batches) > 1 and len(batches[-1]) < least:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


@dataclass(slots=True, eq=False)
class _Waiting:
    """A batch whose parts are being read."""

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
    """Read batches by threads and yield them in order.

    Parameters
    ----------
    pixels
        The reader.
    batches
        Rows of each batch.
    side_px
        Side of a patch.
    settings
        Threads and buffers.
    targets
        Reader of the truth of every pixel, where that is wanted too.
    pinned
        into page-locked memory, from which a GPU fetches by itself.

    Raises
    ------
    Her2Error
        Whatever the reader raises but for single patches: those are in `Batch.unread`.
    """
    import torch

    def part(
        rows: NDArray[np.int64], out: NDArray[np.uint8], truth: NDArray[np.uint8] | None
    ) -> list[PatchReadError]:
        out[:], failed = pixels.read_readable(rows)
        if targets is not None and truth is not None:
            truth[:] = targets.read(rows)
        return failed

    def begin(pool: ThreadPoolExecutor, rows: NDArray[np.int64]) -> _Waiting:
        patches = torch.empty((len(rows), side_px, side_px, 3), dtype=torch.uint8, pin_memory=pinned)
        truth = None
        if targets is not None:
            truth = torch.empty((len(rows), side_px, side_px), dtype=torch.uint8, pin_memory=pinned)
        out, step = patches.numpy(), settings.rows_at_once
        own = None if truth is None else truth.numpy()
        starts = range(0, len(rows), step)
        parts = [
            pool.submit(
                part, rows[k : k + step], out[k : k + step], None if own is None else own[k : k + step]
            )
            for k in starts
        ]
        return _Waiting(rows, patches, truth, parts)

    with ThreadPoolExecutor(settings.threads, "her2-patches") as pool:
        waiting: deque[_Waiting] = deque()
        try:
            for rows in batches:
                waiting.append(begin(pool, rows))
                if len(waiting) > settings.batches_ahead:
                    yield _finish(waiting.popleft())
            while waiting:
                yield _finish(waiting.popleft())
        finally:
            for batch in waiting:
                for future in batch.parts:
                    future.cancel()


def _finish(batch: _Waiting) -> Batch:
    unread = tuple(error for future in batch.parts for error in future.result())
    if not unread:
        return Batch(batch.rows, batch.patches, (), batch.targets)
    good = np.flatnonzero(~np.isin(batch.rows, [error.row for error in unread]))
    # Fancy indexing would give memory that is not pinned; the few batches with a hole may pay for that.
    truth = None if batch.targets is None else batch.targets[good.tolist()]
    return Batch(batch.rows[good], batch.patches[good.tolist()], unread, truth)


class Preparation:
    """Turns 8-bit patches into a network's input, on the device.

    Parameters
    ----------
    manifest
        The patches' images.
    mean, std
        Of the network, for red, green, blue in 0..1.
    stain_maps
        One map of densities for each image of the manifest (Macenko's, say), or None.
    augment
        What may happen in training, or None.
    seed
        Of the augmentation.
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
                f"{len(stain_maps)} stain maps were given for {len(manifest.images)} images. Give one an image."
            )
        self._image = manifest.image
        # value * scale + shift, of 0..255, is (value / 255 - mean) / std.
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
            int64 (n,), their rows.
        epoch
            Of the training; chooses the augmentation together with seed and row.

        Returns
        -------
        Tensor
            float32 (n, 3, side, side), normalised; its memory is channels-last. On a processor it may be overwritten by
            the next call.
        """
        import torch

        if patches.device.type == "cpu" and self._augment is None and self._maps is None:
            return self._by_table(patches)
        # A permuted view of interleaved pixels is what torch calls channels-last: nothing is moved.
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
        """Return targets, uint8 (n, side, side) on the device, moved as `__call__` moves the same rows' patches."""
        if self._augment is None:
            return targets
        return transform_targets(targets, draw_augmentation(self._augment, self._seed, epoch, rows))

    def _by_table(self, patches: Tensor) -> Tensor:
        """Look the 256 values up, into memory that is used again: new memory costs more than the arithmetic."""
        import torch

        n, high, wide, _ = patches.shape
        if (
            self._scratch is None
            or self._scratch.shape[0] < n
            or self._scratch.shape[1:] != patches.shape[1:]
        ):
            # A tensor born in inference mode could never take part in a gradient.
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
        return DensityMaps(
            every.matrix[image], every.offset[image], every.white_in[image], every.white_out[image]
        )
