"""Stain normalisation and jitter of a whole batch on the device: an affine map in optical density for each patch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qupath_her2.slides.stains.density_map import DensityMap
from qupath_her2.slides.stains.jitter import HED_STAINS, HED_WHITE

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DensityMaps", "hed_maps", "map_densities"]

_LN_10 = math.log(10.0)


@dataclass(frozen=True, slots=True, eq=False)
class DensityMaps:
    """One `slides.stains.density_map.DensityMap` for each of N patches, as arrays.

    `matrix` float64 (N, 3, 3), `offset` float64 (N, 3), `white_in` and `white_out` float64 (N,).
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    white_in: NDArray[np.float64]
    white_out: NDArray[np.float64]

    @classmethod
    def stack(cls, maps: Sequence[DensityMap]) -> DensityMaps:
        """Return single maps as arrays."""
        return cls(
            np.array([m.matrix for m in maps]).reshape(-1, 3, 3),
            np.array([m.offset for m in maps]).reshape(-1, 3),
            np.array([m.white_in for m in maps], np.float64),
            np.array([m.white_out for m in maps], np.float64),
        )

    def then(self, other: DensityMaps) -> DensityMaps:
        """Return the composition of these maps and then `other`, patch by patch, as `DensityMap.then` does."""
        step = np.log10(other.white_in / self.white_out)[:, None]
        offset = (other.matrix @ (self.offset + step)[:, :, None])[:, :, 0] + other.offset
        return DensityMaps(other.matrix @ self.matrix, offset, self.white_in, other.white_out)


def hed_maps(alpha: NDArray[np.float64], beta: NDArray[np.float64]) -> DensityMaps:
    """Return `slides.stains.jitter.hed_jitter` for N patches at once; `alpha`, `beta` float64 (N, 3)."""
    mixing = HED_STAINS.T
    white = np.full(len(alpha), HED_WHITE)
    return DensityMaps(
        (mixing * alpha[:, None]) @ np.linalg.inv(mixing), beta @ mixing.T, white, white.copy()
    )


def map_densities(patches: Tensor, maps: DensityMaps) -> Tensor:
    """Map the optical densities of a batch, as `slides.stains.density_map.apply_density_map` does for one image.

    Parameters
    ----------
    patches
        float (N, 3, H, W), RGB, 0..255.
    maps
        Maps of the same N patches.

    Returns
    -------
    Tensor
        float32 (N, 3, H, W), 0..255, not rounded to integers.
    """
    import torch

    def on_device(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(patches.device)

    # Natural log and exp are faster on the device; the factors of base 10 and of both whites are folded into the
    # offset, in double precision and once per patch instead of once per pixel.
    white_in = np.log(maps.white_in)[:, None]
    offset = -_LN_10 * maps.offset + np.log(maps.white_out)[:, None]
    offset = offset - (maps.matrix @ np.broadcast_to(white_in, maps.offset.shape)[:, :, None])[:, :, 0]
    # Plus 1, as in `DensityMap`: black has a finite density.
    light = torch.log(patches.float() + 1.0)
    mapped = torch.einsum("ndc,nchw->ndhw", on_device(maps.matrix), light)
    return (mapped + on_device(offset)[:, :, None, None]).exp().sub(1.0).clamp(0.0, 255.0)
