"""Changing stains of a whole batch on the device: one affine map a patch, in optical density."""

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
    """`slides.stains.density_map.DensityMap`, one for each of N patches, as columns.

    `matrix` float64 (N, 3, 3), `offset` float64 (N, 3), `white_in` and `white_out` float64 (N,).
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    white_in: NDArray[np.float64]
    white_out: NDArray[np.float64]

    @classmethod
    def stack(cls, maps: Sequence[DensityMap]) -> DensityMaps:
        """Return columns of single maps."""
        return cls(
            np.array([m.matrix for m in maps]).reshape(-1, 3, 3),
            np.array([m.offset for m in maps]).reshape(-1, 3),
            np.array([m.white_in for m in maps], np.float64),
            np.array([m.white_out for m in maps], np.float64),
        )

    def then(self, other: DensityMaps) -> DensityMaps:
        """Return the maps that do these and then `other`, patch by patch, as `DensityMap.then` does."""
        step = np.log10(other.white_in / self.white_out)[:, None]
        offset = (other.matrix @ (self.offset + step)[:, :, None])[:, :, 0] + other.offset
        return DensityMaps(other.matrix @ self.matrix, offset, self.white_in, other.white_out)


def hed_maps(alpha: NDArray[np.float64], beta: NDArray[np.float64]) -> DensityMaps:
    """Return `slides.stains.jitter.hed_jitter` of N patches at once; `alpha`, `beta` float64 (N, 3)."""
    mixing = HED_STAINS.T
    white = np.full(len(alpha), HED_WHITE)
    return DensityMaps(
        (mixing * alpha[:, None]) @ np.linalg.inv(mixing), beta @ mixing.T, white, white.copy()
    )


def map_densities(patches: Tensor, maps: DensityMaps) -> Tensor:
    """Return patches with their densities mapped: `slides.stains.density_map.apply_density_map` of a batch.

    Parameters
    ----------
    patches
        float (N, 3, H, W), red, green, blue, 0..255.
    maps
        Of the same N patches.

    Returns
    -------
    Tensor
        float (N, 3, H, W), 0..255, not rounded to grey values.
    """
    import torch

    def on_device(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(patches.device)

    # log and exp to base e; the constants of base 10 and of both whites go into matrix and offset.
    white_in = np.log(maps.white_in)[:, None]
    offset = -_LN_10 * maps.offset + np.log(maps.white_out)[:, None]
    offset = offset - (maps.matrix @ np.broadcast_to(white_in, maps.offset.shape)[:, :, None])[:, :, 0]
    light = torch.log(patches.float() + 1.0)
    mapped = torch.einsum("ndc,nchw->ndhw", on_device(maps.matrix), light)
    return (mapped + on_device(offset)[:, :, None, None]).exp().sub(1.0).clamp(0.0, 255.0)
