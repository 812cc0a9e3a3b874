"""Validation: loss and confusion matrix of the validation patches after every epoch."""

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
    """Result of a validation.

    Attributes
    ----------
    loss
        Mean loss, weighted as in training; NaN without validation patches.
    counts
        int64 (C, C), patches or pixels; rows are the true classes, columns the predicted ones.
    unread
        {row: reason} of the patches that could not be read.
    """

    loss: float
    counts: NDArray[np.int64]
    unread: dict[int, str]

    def metrics(self) -> tuple[float, float, float]:
        """Return loss, accuracy and macro F1."""
        return self.loss, accuracy(self.counts), macro_f1(self.counts)


def validate(setup: Setup, model: Any, rows: NDArray[np.int64], at_once: int) -> ValidationResult:
    """Evaluate a network on patches, without augmentation.

    Parameters
    ----------
    setup
        Constants of the training.
    model
        The network, not wrapped for several processes; left in evaluation mode.
    rows
        int64 (n,), labelled patches.
    at_once
        Patches per forward pass.

    Returns
    -------
    ValidationResult
        Summed over all processes.

    Raises
    ------
    TrainingError
        There are patches but none could be read, or the loss is not finite.
    """
    import torch

    s, processes, n_classes = setup.settings, setup.processes, len(setup.manifest.class_names)
    counts = np.zeros((n_classes, n_classes), np.int64)
    unread: dict[int, str] = {}
    if len(rows) == 0:
        return ValidationResult(math.nan, counts, unread)
    model.eval()
    forward = Forward(model, setup.prepare_validation, processes.device, setup.half, at_once)
    objective = setup.objective
    loss = weight = 0.0
    # Sharded like training batches, though nothing is averaged: each patch is evaluated exactly once.
    batches = [processes.shard(part) for part in batch_rows(rows, s.batch_size)]
    side, is_gpu = setup.manifest.patch_size_px, processes.device.type == "cuda"
    with torch.inference_mode():
        for batch in read_batches(setup.pixels, batches, side, s.read, targets=setup.targets, pinned=is_gpu):
            unread |= {error.row: str(error) for error in batch.unread}
            if len(batch.rows) == 0:
                continue
            logits = forward(batch.patches.to(processes.device, non_blocking=True), batch.rows)
            truth = objective.truth(batch).to(processes.device)
            # In double precision: thousands of batches are summed, and the best epoch may win by the last digits.
            loss += float(objective.losses(logits, truth).cpu().double().sum())
            weight += float(objective.weight(truth).cpu().double().sum())
            counts += objective.counts(logits, truth)
    # One collective call for everything: loss, weight and confusion matrix.
    total = processes.sum([loss, weight, *counts.ravel()])
    if total[1] == 0:
        reason = next(iter(processes.gather(unread).values()), "")
        raise TrainingError(f"None of the {len(rows)} validation patches could be read. The first: {reason}")
    if not math.isfinite(total[0]):
        raise TrainingError(
            f"The validation loss became {total[0]}. The best weights so far are kept. Lower the learning rate, or set "
            "precision fp32."
        )
    return ValidationResult(
        float(total[0] / total[1]), total[2:].reshape(n_classes, n_classes).astype(np.int64), unread
    )
