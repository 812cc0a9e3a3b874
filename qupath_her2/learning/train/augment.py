"""Augmentation on the device: flips, right-angle rotations, affine transforms, and stain jitter.

Own code: torchvision.transforms.v2 draws from torch's global generator, one transform for a whole batch, so a patch's
augmentation would depend on its batch and change when a training is resumed. Resampling is torch's `grid_sample`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qupath_her2.learning.train.seeding import uniforms
from qupath_her2.learning.train.stain_space import DensityMaps, hed_maps
from qupath_her2.models.settings import AugmentSettings
from qupath_her2.slides.stains.jitter import JitterSettings

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Augmentation", "apply_geometry", "draw_augmentation", "transform_targets"]

#: Target value of an unlabelled pixel.
_UNKNOWN = 255

#: Random numbers per patch, whatever is switched on: changing one setting leaves the draws of the others as they are.
_DRAWS = 13


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Augmentation drawn for N patches.

    Attributes
    ----------
    turns
        int64 (N), counter-clockwise right-angle rotations, 0..3.
    flipped
        bool (N), left-right flip, before the rotation.
    affine
        float32 (N, 2, 3), maps output to input coordinates (x, y) in the frame -1..1; None without resampling.
    stains
        Stain jitter, or None.
    """

    turns: NDArray[np.int64]
    flipped: NDArray[np.bool_]
    affine: NDArray[np.float32] | None
    stains: DensityMaps | None


def draw_augmentation(
    settings: AugmentSettings, seed: int, epoch: int, rows: NDArray[np.int64]
) -> Augmentation:
    """Draw the augmentation of patches; it depends only on seed, epoch and row.

    Parameters
    ----------
    settings
        Ranges of the augmentation.
    seed, epoch
        Seed of the training, and the epoch.
    rows
        int64 (N,), rows of the manifest.

    Returns
    -------
    Augmentation
        For each of the N rows.
    """
    drawn = uniforms(seed, epoch, rows, _DRAWS)
    turns = (
        (drawn[:, 0] * 4).astype(np.int64) if settings.right_angle_turns else np.zeros(len(rows), np.int64)
    )
    flipped = (drawn[:, 1] < 0.5) & settings.flips
    return Augmentation(
        turns, flipped, _affine(settings, drawn[:, 2:7]), _stain_jitter(settings.stains, drawn[:, 7:])
    )


def _affine(s: AugmentSettings, drawn: NDArray[np.float64]) -> NDArray[np.float32] | None:
    if not (s.angle_deg or s.scale or s.shift or s.shear_deg):
        return None
    way = 2 * drawn - 1
    angle, slant = np.deg2rad(s.angle_deg * way[:, 0]), np.tan(np.deg2rad(s.shear_deg * way[:, 1]))
    # One factor for both axes: cells may be larger, but must not be flattened.
    step = 1 / (1 + s.scale * way[:, 2])
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    matrix = np.empty((len(drawn), 2, 3))
    matrix[:, 0, 0], matrix[:, 0, 1] = cos, slant * cos - sin
    matrix[:, 1, 0], matrix[:, 1, 1] = sin, slant * sin + cos
    # The frame -1..1 is 2 wide, so a shift by a share of the side is twice that.
    matrix[:, :, 2] = 2 * s.shift * way[:, 3:5]
    return matrix.astype(np.float32)


def _stain_jitter(settings: JitterSettings | None, drawn: NDArray[np.float64]) -> DensityMaps | None:
    if settings is None:
        return None
    way = 2 * drawn - 1
    return hed_maps(1 + settings.alpha_range * way[:, :3], settings.beta_range_od * way[:, 3:])


def apply_geometry(patches: Tensor, drawn: Augmentation) -> Tensor:
    """Flip, rotate and resample square patches.

    Parameters
    ----------
    patches
        float (N, 3, S, S).
    drawn
        Augmentation of the same N patches.

    Returns
    -------
    Tensor
        float (N, 3, S, S); without an affine transform the values are exactly the input's, rearranged.
    """
    from torch.nn import functional

    turned = _oriented(patches, drawn)
    if drawn.affine is None:
        return turned
    return functional.grid_sample(
        turned, _sampling_grid(turned, drawn), mode="bilinear", padding_mode="reflection", align_corners=False
    )


def transform_targets(targets: Tensor, drawn: Augmentation) -> Tensor:
    """Flip, rotate and resample targets as `apply_geometry` does their patches.

    Parameters
    ----------
    targets
        uint8 (N, S, S), class indices, 255 = unlabelled.
    drawn
        Augmentation of the same N patches.

    Returns
    -------
    Tensor
        uint8 (N, S, S), by nearest neighbour; 255 where the sample lies outside the input.
    """
    from torch.nn import functional

    turned = _oriented(targets[:, None], drawn)
    if drawn.affine is None:
        return turned[:, 0]
    # grid_sample pads with zeros only: values are inverted, so that "unlabelled" is zero.
    values = _UNKNOWN - turned.float()
    found = functional.grid_sample(
        values, _sampling_grid(values, drawn), mode="nearest", padding_mode="zeros", align_corners=False
    )
    return (_UNKNOWN - found[:, 0]).to(targets.dtype)


def _oriented(patches: Tensor, drawn: Augmentation) -> Tensor:
    """Return patches (N, C, S, S) flipped and rotated by right angles."""
    import torch

    turned = torch.empty_like(patches)
    # At most eight calls for a batch of any size, one for each orientation.
    for code in range(8):
        quarter, is_flipped = code % 4, code >= 4
        where = np.flatnonzero((drawn.turns == quarter) & (drawn.flipped == is_flipped))
        if len(where) == 0:
            continue
        index = torch.from_numpy(where).to(patches.device)
        some = patches[index]
        some = some.flip(3) if is_flipped else some
        turned[index] = torch.rot90(some, quarter, (2, 3))
    return turned


def _sampling_grid(patches: Tensor, drawn: Augmentation) -> Tensor:
    """Return for each output pixel its input coordinates (x, y) in the frame -1..1, (N, S, S, 2)."""
    import torch
    from torch.nn import functional

    theta = torch.from_numpy(drawn.affine).to(patches.device, patches.dtype)
    return functional.affine_grid(theta, list(patches.shape), align_corners=False)
