"""The figures of the validation patches, after every epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError
from qupath_her2.learning.dataset import batch_rows, read_batches
from qupath_her2.learning.inference.forward import Forward
from qupath_her2.learning.metrics.epoch_metrics import accuracy, macro_f1
from qupath_her2.learning.train.setup import Setup

__all__ = ["ValidationResult", "validate"]


@dataclass(frozen=True, slots=True, eq=False)
class ValidationResult:
    """What the network says of patches, or of their pixels: mean `loss`; `counts` int64 (C, C),
    row the truth; `unread` {row: why}.
    """  # noqa: D205

    loss: float
    counts: NDArray[np.int64]
    unread: dict[int, str]

    def figures(self) -> tuple[float, float, float]:
        """Return loss, accuracy and macro F1."""
        return self.loss, accuracy(self.counts), macro_f1(self.counts)


def validate(setup: Setup, model: Any, rows: NDArray[np.int64], at_once: int) -> ValidationResult:
    """Run the network over patches without augmentation.

    Parameters
    ----------
    setup
        Of the training.
    model
        Not wrapped; left in evaluation mode.
    rows
        int64 (n,), labelled.
    at_once
        Patches in the network together.

    Raises
    ------
    TrainingError
        There are patches and none could be read, or the loss is not a number.
    """
    import torch

    s, world, n_classes = setup.settings, setup.world, len(setup.manifest.class_names)
    counts = np.zeros((n_classes, n_classes), np.int64)
    unread: dict[int, str] = {}
    if len(rows) == 0:
        return ValidationResult(math.nan, counts, unread)
    model.eval()
    forward = Forward(model, setup.prepare_validation, world.device, setup.half, at_once)
    objective = setup.objective
    loss = weight = 0.0
    batches = [world.share(part) for part in batch_rows(rows, s.batch_size)]
    side, is_gpu = setup.manifest.patch_size_px, world.device.type == "cuda"
    with torch.inference_mode():
        for batch in read_batches(setup.pixels, batches, side, s.read, targets=setup.targets, pinned=is_gpu):
            unread |= {error.row: str(error) for error in batch.unread}
            if len(batch.rows) == 0:
                continue
            logits = forward(batch.patches.to(world.device, non_blocking=True), batch.rows)
            truth = objective.truth(batch).to(world.device)
            loss += float(objective.losses(logits, truth).cpu().double().sum())
            weight += float(objective.weight(truth).cpu().double().sum())
            counts += objective.counts(logits, truth)
    together = world.total([loss, weight, *counts.ravel()])
    if together[1] == 0:
        reason = next(iter(world.merged(unread).values()), "")
        raise TrainingError(f"None of the {len(rows)} validation patches could be read. The first: {reason}")
    if not math.isfinite(together[0]):
        raise TrainingError(
            f"The loss on the validation patches became {together[0]}. The best weights so far stay. Lower the "
            "learning rate, or pass precision fp32."
        )
    return ValidationResult(
        float(together[0] / together[1]),
        together[2:].reshape(n_classes, n_classes).astype(np.int64),
        unread,
    )
