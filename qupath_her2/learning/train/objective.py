"""Training objectives: everything in which training a classifier and training a segmenter differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError
from qupath_her2.learning.dataset import Batch, TargetReader
from qupath_her2.learning.train.losses import class_weights, patch_losses, weights_of_counts
from qupath_her2.learning.train.pixel_losses import UNKNOWN, patch_weights, pixel_losses
from qupath_her2.models.settings import LossSettings

if TYPE_CHECKING:
    from torch import Tensor

    from qupath_her2.patches.manifest import PatchManifest

__all__ = ["Objective", "PatchObjective", "PixelObjective", "make_objective"]

#: Label of an unlabelled patch.
_NO_LABEL = -1


class Objective(Protocol):
    """Loss and metrics of N patches with C classes. What is unlabelled has weight 0 and is not counted."""

    def truth(self, batch: Batch) -> Tensor:
        """Return the true classes of a batch, in host memory: labels (N,), or pixel classes (N, H, W)."""
        ...

    def unlabelled(self, n: int, side: int) -> Tensor:
        """Return the truth of `n` unlabelled patches of `side` px."""
        ...

    def weight(self, truth: Tensor) -> Tensor:
        """Return the weight of each patch, float32 (N,)."""
        ...

    def losses(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the loss of each patch, weighted but not averaged, float32 (N,)."""
        ...

    def n_known(self, truth: Tensor) -> Tensor:
        """Return the number of labelled patches or pixels, as an integer tensor."""
        ...

    def n_correct(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the number of labelled ones whose largest logit is the true class."""
        ...

    def counts(self, logits: Tensor, truth: Tensor) -> NDArray[np.int64]:
        """Return int64 (C, C): rows are the true classes, columns the predicted ones."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PatchObjective:
    """One class per patch: `label` int16 of all rows of the manifest, `weights` float32 (C,) of the classes."""

    label: NDArray[np.int16]
    weights: NDArray[np.float32]
    loss: LossSettings

    def truth(self, batch: Batch) -> Tensor:
        """Return int64 (N,)."""
        import torch

        # int64, as torch's losses require.
        return torch.from_numpy(self.label[batch.rows].astype(np.int64))

    def unlabelled(self, n: int, side: int) -> Tensor:
        """Return int64 (N,)."""
        import torch

        return torch.full((n,), _NO_LABEL)

    def weight(self, truth: Tensor) -> Tensor:
        """Return the weight of each patch's class, float32 (N,); 0 for unlabelled patches."""
        import torch

        weights = torch.from_numpy(self.weights).to(truth.device)
        # Index -1 would take the last class; clamped, its weight is multiplied by 0.
        return weights[truth.clamp(min=0)] * (truth != _NO_LABEL)

    def losses(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return `patch_losses`; 0 for unlabelled patches."""
        import torch

        weights = torch.from_numpy(self.weights).to(logits.device)
        return patch_losses(logits, truth.clamp(min=0), weights, self.loss) * (truth != _NO_LABEL)

    def n_known(self, truth: Tensor) -> Tensor:
        """Return the number of labelled patches."""
        return (truth != _NO_LABEL).sum()

    def n_correct(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the number of correct predictions."""
        return (logits.argmax(1) == truth).sum()

    def counts(self, logits: Tensor, truth: Tensor) -> NDArray[np.int64]:
        """Return patches by true and predicted class."""
        return _counts(logits, truth, truth != _NO_LABEL)


@dataclass(frozen=True, slots=True, eq=False)
class PixelObjective:
    """One class per pixel: `weights` float32 (C,) of the classes."""

    weights: NDArray[np.float32]
    loss: LossSettings

    def truth(self, batch: Batch) -> Tensor:
        """Return uint8 (N, H, W)."""
        if batch.targets is None:
            raise TrainingError(
                "A segmenter was given patches without pixel classes. Pass their reader as `targets`."
            )
        return batch.targets

    def unlabelled(self, n: int, side: int) -> Tensor:
        """Return uint8 (N, H, W)."""
        import torch

        # 8 bits per pixel until the loss: the targets of a batch are as large as one of its colour channels.
        return torch.full((n, side, side), UNKNOWN, dtype=torch.uint8)

    def weight(self, truth: Tensor) -> Tensor:
        """Return the sum of the weights of each patch's labelled pixels."""
        import torch

        return patch_weights(truth, torch.from_numpy(self.weights).to(truth.device))

    def losses(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return `pixel_losses`."""
        import torch

        return pixel_losses(logits, truth, torch.from_numpy(self.weights).to(logits.device), self.loss)

    def n_known(self, truth: Tensor) -> Tensor:
        """Return the number of labelled pixels."""
        return (truth != UNKNOWN).sum()

    def n_correct(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the number of labelled pixels predicted correctly."""
        return ((logits.argmax(1) == truth) & (truth != UNKNOWN)).sum()

    def counts(self, logits: Tensor, truth: Tensor) -> NDArray[np.int64]:
        """Return pixels by true and predicted class."""
        return _counts(logits, truth, truth != UNKNOWN)


def _counts(logits: Tensor, truth: Tensor, is_known: Tensor) -> NDArray[np.int64]:
    """Return the confusion matrix, counted on the device: only C x C numbers leave it, not a class per pixel."""
    import torch

    n = logits.shape[1]
    # True and predicted class as one number, so that a single bincount counts all pairs.
    pairs = truth[is_known].long() * n + logits.argmax(1)[is_known]
    found: NDArray[np.int64] = torch.bincount(pairs, minlength=n * n).reshape(n, n).cpu().numpy()
    return found


def make_objective(
    manifest: PatchManifest, rows: NDArray[np.int64], targets: TargetReader | None, loss: LossSettings
) -> PatchObjective | PixelObjective:
    """Return the objective of a training.

    Parameters
    ----------
    manifest, rows
        The patches, and the rows to train on.
    targets
        Pixel classes for a segmenter; None uses the labels of the patches.
    loss
        Settings of the loss; balanced class weights follow from the training patches, or from their pixels.

    Returns
    -------
    PatchObjective or PixelObjective
        The objective.

    Raises
    ------
    TrainingError
        Dice was requested for patches that have one label each.
    """
    # Balanced weights from the training rows only: those of validation must not leak in.
    if targets is not None:
        return PixelObjective(weights_of_counts(targets.pixel_counts()[rows].sum(0), loss), loss)
    if loss.kind not in ("cross_entropy", "focal"):
        raise TrainingError(
            f"Loss {loss.kind!r} is for segmenters; for patches with one label each, choose cross_entropy or focal."
        )
    return PatchObjective(
        manifest.label, class_weights(manifest.label[rows], len(manifest.class_names), loss), loss
    )
