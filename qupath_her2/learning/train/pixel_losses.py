"""Losses by pixel, summed up by patch, so that a batch in parts adds up to the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qupath_her2.models.settings import LossSettings

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["UNKNOWN", "patch_weights", "pixel_losses"]

#: Value of a target where nobody knows what the pixel is; `patches.targets.targets.IGNORE`.
UNKNOWN = 255
#: Added to both sides of a Dice ratio, px: a class that is neither there nor named has 1, not 0 / 0.
_SMOOTH_PX = 1.0


def patch_weights(targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weight of each patch: the sum of the weights of its known pixels.

    Parameters
    ----------
    targets
        uint8 (N, H, W), classes or `UNKNOWN`.
    weights
        float32 (C,), of the classes.

    Returns
    -------
    Tensor
        float32 (N,)
    """
    return _pixel_weights(targets, weights).flatten(1).sum(1)


def _pixel_weights(targets: Tensor, weights: Tensor) -> Tensor:
    is_known = targets != UNKNOWN
    return weights[targets.masked_fill(~is_known, 0).int()] * is_known


def pixel_losses(logits: Tensor, targets: Tensor, weights: Tensor, settings: LossSettings) -> Tensor:
    """Return the loss of each patch, not yet averaged.

    The loss of a batch is their sum over the sum of `patch_weights`. For cross-entropy and focal loss that is the
    weighted mean over known pixels. Dice is a figure of a patch: ``1 - mean over classes of (2 sum(p t) + 1) /
    (sum(p) + sum(t) + 1)`` (Milletari et al. 2016, doi 10.1109/3DV.2016.79, without their squares) over its known
    pixels, and counts as much as the patch weighs.

    Parameters
    ----------
    logits
        float (N, C, H, W).
    targets
        uint8 (N, H, W), classes or `UNKNOWN`.
    weights
        float32 (C,).
    settings
        Which loss.

    Returns
    -------
    Tensor
        float32 (N,)
    """
    from torch.nn import functional

    # Half precision has three digits; a loss needs more.
    log_p = functional.log_softmax(logits.float(), 1)
    by_pixel = _pixel_weights(targets, weights)
    total = by_pixel.new_zeros(len(targets))
    if settings.kind != "dice":
        is_known = targets != UNKNOWN
        own = log_p.gather(1, targets.masked_fill(~is_known, 0).long()[:, None])[:, 0]
        losses = -own
        if settings.kind == "focal":
            # The floor keeps the slope of x^gamma finite at x = 0 for gamma < 1.
            losses = losses * (1 - own.exp()).clamp(min=1e-7) ** settings.focal_gamma
        total = total + (losses * by_pixel).flatten(1).sum(1)
    if settings.kind in ("dice", "cross_entropy_dice"):
        total = total + _dice_losses(log_p, targets, weights) * by_pixel.flatten(1).sum(1)
    return total


def _dice_losses(log_p: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return 1 - soft Dice of each patch, the mean over classes by their weights, float32 (N,)."""
    import torch

    is_known = (targets != UNKNOWN).flatten(1)
    ratios = []
    for code in range(len(weights)):
        p = log_p[:, code].exp().flatten(1) * is_known
        t = (targets == code).flatten(1).float()
        ratios.append((2 * (p * t).sum(1) + _SMOOTH_PX) / (p.sum(1) + t.sum(1) + _SMOOTH_PX))
    return 1 - (torch.stack(ratios, 1) * weights).sum(1) / weights.sum()
