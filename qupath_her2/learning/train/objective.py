"""What a network is asked, one class a patch or one a pixel: all in which the two kinds of training differ."""

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

#: Label of a patch that counts nothing.
_NO_LABEL = -1


class Objective(Protocol):
    """What the loop asks for; N patches, C classes. Truth that nobody knows weighs nothing and counts nowhere."""

    def truth(self, batch: Batch) -> Tensor:
        """Return what is true of a batch, in the computer's memory: (N) labels, or (N, H, W) targets."""
        ...

    def blank(self, n: int, side: int) -> Tensor:
        """Return the truth of `n` patches of which nothing is known."""
        ...

    def weight(self, truth: Tensor) -> Tensor:
        """Return the weight of each patch, float32 (N,)."""
        ...

    def losses(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the loss of each patch, weighted and not averaged, float32 (N,)."""
        ...

    def n_known(self, truth: Tensor) -> Tensor:
        """Return how many labels or pixels are known, a whole number as a tensor."""
        ...

    def n_correct(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return how many known ones the largest logit names rightly."""
        ...

    def counts(self, logits: Tensor, truth: Tensor) -> NDArray[np.int64]:
        """Return int64 (C, C), row the truth, column the largest logit."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PatchObjective:
    """One class a patch: `label` int16 (all rows); `weights` float32 (C,) of the classes."""

    label: NDArray[np.int16]
    weights: NDArray[np.float32]
    loss: LossSettings

    def truth(self, batch: Batch) -> Tensor:
        """Return int64 (N,)."""
        import torch

        return torch.from_numpy(self.label[batch.rows].astype(np.int64))

    def blank(self, n: int, side: int) -> Tensor:
        """Return int64 (N,)."""
        import torch

        return torch.full((n,), _NO_LABEL)

    def weight(self, truth: Tensor) -> Tensor:
        """Return the weight of each patch's class."""
        import torch

        weights = torch.from_numpy(self.weights).to(truth.device)
        return weights[truth.clamp(min=0)] * (truth != _NO_LABEL)

    def losses(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return `patch_losses`, 0 of patches without label."""
        import torch

        weights = torch.from_numpy(self.weights).to(logits.device)
        return patch_losses(logits, truth.clamp(min=0), weights, self.loss) * (truth != _NO_LABEL)

    def n_known(self, truth: Tensor) -> Tensor:
        """Return how many patches have a label."""
        return (truth != _NO_LABEL).sum()

    def n_correct(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return how many are named rightly."""
        return (logits.argmax(1) == truth).sum()

    def counts(self, logits: Tensor, truth: Tensor) -> NDArray[np.int64]:
        """Return patches by truth and choice."""
        return _counts(logits, truth, truth != _NO_LABEL)


@dataclass(frozen=True, slots=True, eq=False)
class PixelObjective:
    """One class a pixel; `weights` float32 (C,) of the classes."""

    weights: NDArray[np.float32]
    loss: LossSettings

    def truth(self, batch: Batch) -> Tensor:
        """Return uint8 (N, H, W)."""
        if batch.targets is None:
            raise TrainingError(
                "A segmenter was given patches without targets. Pass their reader as `targets`."
            )
        return batch.targets

    def blank(self, n: int, side: int) -> Tensor:
        """Return uint8 (N, H, W)."""
        import torch

        return torch.full((n, side, side), UNKNOWN, dtype=torch.uint8)

    def weight(self, truth: Tensor) -> Tensor:
        """Return the weights of each patch's known pixels, summed up."""
        import torch

        return patch_weights(truth, torch.from_numpy(self.weights).to(truth.device))

    def losses(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return `pixel_losses`."""
        import torch

        return pixel_losses(logits, truth, torch.from_numpy(self.weights).to(logits.device), self.loss)

    def n_known(self, truth: Tensor) -> Tensor:
        """Return how many pixels are known."""
        return (truth != UNKNOWN).sum()

    def n_correct(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return how many known pixels are named rightly."""
        return ((logits.argmax(1) == truth) & (truth != UNKNOWN)).sum()

    def counts(self, logits: Tensor, truth: Tensor) -> NDArray[np.int64]:
        """Return pixels by truth and choice."""
        return _counts(logits, truth, truth != UNKNOWN)


def _counts(logits: Tensor, truth: Tensor, is_known: Tensor) -> NDArray[np.int64]:
    import torch

    n = logits.shape[1]
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
        The patches, and those to train on.
    targets
        Of a segmenter; None asks for the patches' labels.
    loss
        What is minimised; classes are weighed by their patches, or by their pixels.

    Raises
    ------
    TrainingError
        Dice is asked for of patches that have one label each.
    """
    if targets is not None:
        return PixelObjective(weights_of_counts(targets.pixel_counts()[rows].sum(0), loss), loss)
    if loss.kind not in ("cross_entropy", "focal"):
        raise TrainingError(
            f"Loss {loss.kind!r} is of segmenters; patches with one label each take cross_entropy or focal."
        )
    return PatchObjective(
        manifest.label, class_weights(manifest.label[rows], len(manifest.class_names), loss), loss
    )
