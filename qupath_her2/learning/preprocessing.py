"""Preprocessing on the device: stain normalisation, augmentation, and scaling to a network's mean and deviation.

It works on whole batches of 8-bit patches, so that a quarter of the bytes of floats travel to a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError
from qupath_her2.learning.train.augment import apply_geometry, draw_augmentation, transform_targets
from qupath_her2.learning.train.stain_space import DensityMaps, map_densities
from qupath_her2.models.settings import AugmentSettings

if TYPE_CHECKING:
    from torch import Tensor

    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["Preparation"]


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
