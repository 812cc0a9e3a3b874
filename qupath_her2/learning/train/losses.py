"""Losses of labelled patches, and class weights.

Own code for the focal loss: torchvision's and segmentation-models-pytorch's are sums of one-against-rest logistic
losses; this one is of the softmax, like the cross-entropy that it equals at gamma 0.
"""

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
        Number of classes.
    settings
        Kind of weights.

    Returns
    -------
    NDArray[np.float32]
        float32 (n_classes,); a class without patches has weight 1, which has no effect.

    Raises
    ------
    SettingsError
        The weights given are not one positive number per class.
    """
    return weights_of_counts(np.bincount(labels, minlength=n_classes), settings)


def weights_of_counts(counts: NDArray[np.int64], settings: LossSettings) -> NDArray[np.float32]:
    """Return the weights of `class_weights`, given the number of patches or pixels of each class, int64 (C,)."""
    how, n_classes = settings.class_weights, len(counts)
    if how == "none":
        return np.ones(n_classes, np.float32)
    # As scikit-learn's compute_class_weight, but from counts: segmenters have millions of pixels per class.
    if how == "balanced":
        weights = np.ones(n_classes)
        weights[counts > 0] = counts.sum() / (n_classes * counts[counts > 0])
        return weights.astype(np.float32)
    given = np.asarray(how, np.float32)
    if given.shape != (n_classes,) or not np.all(np.isfinite(given) & (given > 0)):
        raise SettingsError(
            f"class_weights {how!r} are not {n_classes} positive numbers, one per class. "
            "Give one for each class of the task, or 'balanced'."
        )
    return given


def patch_losses(logits: Tensor, labels: Tensor, weights: Tensor, settings: LossSettings) -> Tensor:
    """Return the weighted loss of each patch, not averaged.

    The mean over a batch is their sum divided by the sum of ``weights[labels]``. Not averaging here is what lets parts
    of a batch, and several processes, add up to the whole batch.

    Parameters
    ----------
    logits
        float (N, C).
    labels
        int64 (N,).
    weights
        float32 (C,).
    settings
        Cross-entropy, or focal loss ``-(1 - p)^gamma log p`` (Lin et al. 2017, doi:10.1109/ICCV.2017.324).

    Returns
    -------
    Tensor
        float32 (N,)
    """
    from torch.nn import functional

    # In float32: half precision has three digits only.
    losses = functional.cross_entropy(logits.float(), labels, reduction="none")
    if settings.kind == "focal":
        # The floor keeps the slope of x^gamma finite at x = 0 for gamma < 1.
        losses = losses * (1 - (-losses).exp()).clamp(min=1e-7) ** settings.focal_gamma
    return losses * weights[labels]
