"""Losses of labelled pixels, summed per patch, so that the parts of a batch add up to the whole.

Own code: the Dice loss of segmentation-models-pytorch pools the pixels of a batch and has no class weights, so that it
changes with the way a batch is divided; for the focal loss see `losses`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qupath_her2.models.settings import LossSettings

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["UNKNOWN", "patch_weights", "pixel_losses"]

#: Target value of an unlabelled pixel; `patches.targets.targets.IGNORE`.
UNKNOWN = 255
#: Added to numerator and denominator of Dice, px: a class that is neither true nor predicted scores 1, not 0 / 0.
_SMOOTH_PX = 1.0


def patch_weights(targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weight of each patch: the sum of the weights of its labelled pixels.

    Parameters
    ----------
    targets
        uint8 (N, H, W), classes or `UNKNOWN`.
    weights
        float32 (C,), weights of the classes.

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
    """Return the loss of each patch, not averaged.

    The loss of a batch is their sum divided by the sum of `patch_weights`. For cross-entropy and focal loss that is the
    weighted mean over labelled pixels. The Dice loss of a patch, ``1 - mean over classes of (2 sum(p t) + 1) /
    (sum(p) + sum(t) + 1)`` over its labelled pixels (Milletari et al. 2016, doi 10.1109/3DV.2016.79, without their
    squares), is multiplied by the weight of the patch.

    Parameters
    ----------
    logits
        float (N, C, H, W).
    targets
        uint8 (N, H, W), classes or `UNKNOWN`.
    weights
        float32 (C,).
    settings
        Kind of loss.

    Returns
    -------
    Tensor
        float32 (N,)
    """
    from torch.nn import functional

    # In float32: half precision has three digits only.
    log_p = functional.log_softmax(logits.float(), 1)
    by_pixel = _pixel_weights(targets, weights)
    total = by_pixel.new_zeros(len(targets))
    if settings.kind != "dice":
        losses = functional.nll_loss(log_p, targets.long(), ignore_index=UNKNOWN, reduction="none")
        if settings.kind == "focal":
            # The floor keeps the slope of x^gamma finite at x = 0 for gamma < 1.
            losses = losses * (1 - (-losses).exp()).clamp(min=1e-7) ** settings.focal_gamma
        total = total + (losses * by_pixel).flatten(1).sum(1)
    if settings.kind in ("dice", "cross_entropy_dice"):
        total = total + _dice_losses(log_p, targets, weights) * by_pixel.flatten(1).sum(1)
    return total


def _dice_losses(log_p: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return 1 - soft Dice of each patch, the weighted mean over classes, float32 (N,)."""
    import torch

    is_known = (targets != UNKNOWN).flatten(1)
    ratios = []
    # Class by class: one-hot targets of all classes at once would take as much memory as the logits.
    for code in range(len(weights)):
        p = log_p[:, code].exp().flatten(1) * is_known
        t = (targets == code).flatten(1).float()
        ratios.append((2 * (p * t).sum(1) + _SMOOTH_PX) / (p.sum(1) + t.sum(1) + _SMOOTH_PX))
    return 1 - (torch.stack(ratios, 1) * weights).sum(1) / weights.sum()
