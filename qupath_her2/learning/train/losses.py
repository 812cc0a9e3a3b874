"""Losses of patches and of their pixels: cross-entropy, focal, Dice, with weights of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError
from qupath_her2.models.settings import LossSettings

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["class_weights", "patch_losses", "weights_of_counts"]


def class_weights(labels: NDArray[np.int16], n_classes: int, settings: LossSettings) -> NDArray[np.float32]:
    """Return the weight of each class.

    Parameters
    ----------
    labels
        int16 (N,), classes of the training patches, 0 .. n_classes - 1.
    n_classes
        How many there are.
    settings
        Which weights.

    Returns
    -------
    NDArray[np.float32]
        float32 (n_classes,); a class without a patch has weight 1, which nothing then uses.

    Raises
    ------
    SettingsError
        The numbers given are not one positive number a class.
    """
    return weights_of_counts(np.bincount(labels, minlength=n_classes), settings)


def weights_of_counts(counts: NDArray[np.int64], settings: LossSettings) -> NDArray[np.float32]:
    """Return the weight of each class, as `class_weights`; `counts` int64 (C,), patches or pixels of each."""
    how, n_classes = settings.class_weights, len(counts)
    if how == "none":
        return np.ones(n_classes, np.float32)
    if how == "balanced":
        weights = np.ones(n_classes)
        weights[counts > 0] = counts.sum() / (n_classes * counts[counts > 0])
        return weights.astype(np.float32)
    given = np.asarray(how, np.float32)
    if given.shape != (n_classes,) or not np.all(np.isfinite(given) & (given > 0)):
        raise SettingsError(
            f"class_weights {how!r} are not {n_classes} positive numbers, one for each class. "
            "Give as many as the task has classes, or 'balanced'."
        )
    return given


def patch_losses(logits: Tensor, labels: Tensor, weights: Tensor, settings: LossSettings) -> Tensor:
    """Return the weighted loss of each patch, not yet averaged.

    The mean over a batch is their sum over the sum of ``weights[labels]``: batches that are worked through in
    parts, or by several processes, add up to the whole.

    Parameters
    ----------
    logits
        float (N, C).
    labels
        int64 (N,).
    weights
        float32 (C,).
    settings
        Cross-entropy, or focal ``-(1 - p)^gamma log p``.

    Returns
    -------
    Tensor
        float32 (N,)
    """
    from torch.nn import functional

    # Half precision has three digits; a loss needs more.
    log_p = functional.log_softmax(logits.float(), 1).gather(1, labels[:, None])[:, 0]
    losses = -log_p
    if settings.kind == "focal":
        # The floor keeps the slope of x^gamma finite at x = 0 for gamma < 1.
        losses = losses * (1 - log_p.exp()).clamp(min=1e-7) ** settings.focal_gamma
    return losses * weights[labels]
