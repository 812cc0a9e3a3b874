"""Augmentation on the device: flips, right-angle turns, angle and size, shear, jitter of the stains."""

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

#: Value of a target where nobody knows what the pixel is.
_UNKNOWN = 255

#: Numbers that one patch draws, whatever is switched on: a setting does not shift what the others draw.
_DRAWS = 13


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What was drawn for N patches.

    `turns` int64 (N), right angles against the clock, 0..3; `flipped` bool (N), left-right, before the turn;
    `affine` float32 (N, 2, 3) or None, from output to input in the frame -1..1 (x, y); `stains` or None.
    """

    turns: NDArray[np.int64]
    flipped: NDArray[np.bool_]
    affine: NDArray[np.float32] | None
    stains: DensityMaps | None


def draw_augmentation(
    settings: AugmentSettings, seed: int, epoch: int, rows: NDArray[np.int64]
) -> Augmentation:
    """Draw what happens to patches; the same (seed, epoch, row) draws the same.

    Parameters
    ----------
    settings
        What may happen.
    seed, epoch
        Of the training.
    rows
        int64 (N,), rows of the manifest.
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
    # Both sides grow alike: a cell may be larger, but not flattened.
    step = 1 / (1 + s.scale * way[:, 2])
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    matrix = np.empty((len(drawn), 2, 3))
    matrix[:, 0, 0], matrix[:, 0, 1] = cos, slant * cos - sin
    matrix[:, 1, 0], matrix[:, 1, 1] = sin, slant * sin + cos
    # The frame is two sides wide.
    matrix[:, :, 2] = 2 * s.shift * way[:, 3:5]
    return matrix.astype(np.float32)


def _stain_jitter(settings: JitterSettings | None, drawn: NDArray[np.float64]) -> DensityMaps | None:
    if settings is None:
        return None
    way = 2 * drawn - 1
    return hed_maps(1 + settings.alpha_range * way[:, :3], settings.beta_range_od * way[:, 3:])


def apply_geometry(patches: Tensor, drawn: Augmentation) -> Tensor:
    """Flip, turn and resample square patches.

    Parameters
    ----------
    patches
        float (N, 3, S, S).
    drawn
        For the same N patches.

    Returns
    -------
    Tensor
        float (N, 3, S, S); without an affine part every value is one of the input's.
    """
    from torch.nn import functional

    turned = _turned(patches, drawn)
    if drawn.affine is None:
        return turned
    return functional.grid_sample(
        turned, _where_from(turned, drawn), mode="bilinear", padding_mode="reflection", align_corners=False
    )


def transform_targets(targets: Tensor, drawn: Augmentation) -> Tensor:
    """Flip, turn and resample targets as `apply_geometry` does their patches.

    Parameters
    ----------
    targets
        uint8 (N, S, S), class indices, 255 where not known.
    drawn
        For the same N patches.

    Returns
    -------
    Tensor
        uint8 (N, S, S); each value is the nearest one of the input's, and 255 for what comes in from outside.
    """
    from torch.nn import functional

    turned = _turned(targets[:, None], drawn)
    if drawn.affine is None:
        return turned[:, 0]
    # Zeros come in from outside; counted from there, "not known" is zero.
    values = _UNKNOWN - turned.float()
    found = functional.grid_sample(
        values, _where_from(values, drawn), mode="nearest", padding_mode="zeros", align_corners=False
    )
    return (_UNKNOWN - found[:, 0]).to(targets.dtype)


def _turned(patches: Tensor, drawn: Augmentation) -> Tensor:
    """Return patches (N, C, S, S) flipped and turned by right angles."""
    import torch

    turned = torch.empty_like(patches)
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


def _where_from(patches: Tensor, drawn: Augmentation) -> Tensor:
    """Return for each pixel the place it comes from, (N, S, S, 2) in the frame -1..1."""
    import torch
    from torch.nn import functional

    theta = torch.from_numpy(drawn.affine).to(patches.device, patches.dtype)
    return functional.affine_grid(theta, list(patches.shape), align_corners=False)
