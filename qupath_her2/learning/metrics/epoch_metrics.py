"""Epoch metrics: loss, accuracy and macro F1 during training. Reports use those of `scoring.agreement`.

Own code for accuracy and F1: they come from confusion matrices summed over batches and processes, while scikit-learn's
functions take one label per patch or pixel. Tests compare the two.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["EpochRecord", "accuracy", "confusion", "macro_f1"]


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Metrics of one epoch: a point of each training curve.

    `epoch` counts from 1; losses are means over patches, weighted as in training; accuracies and F1 are 0..1. Training
    metrics are measured while the network learns, with augmentation; validation metrics are NaN without a validation
    split.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float = math.nan
    validation_accuracy: float = math.nan
    validation_macro_f1: float = math.nan

    def monitored(self, monitor: Literal["loss", "accuracy", "macro_f1"]) -> float:
        """Return the metric to improve: of the validation, or of the training where there is no validation."""
        value: float = getattr(self, f"validation_{monitor}")
        # The loss decides: validation F1 alone can be NaN with a validation split.
        if not math.isnan(self.validation_loss):
            return value
        return self.train_loss if monitor == "loss" else self.train_accuracy

    def to_dict(self) -> dict[str, float | None]:
        """Return plain values for JSON, where NaN is None."""
        # NaN is not JSON.
        values = dataclasses.asdict(self)
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, float | None]) -> EpochRecord:
        """Return the record that `to_dict` came from."""
        given: dict[str, Any] = {k: math.nan if v is None else v for k, v in values.items()}
        return cls(**given)


def confusion(truth: NDArray[np.int64], chosen: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Count patches by true and predicted class.

    Parameters
    ----------
    truth, chosen
        int (N,), true and predicted classes, 0 .. n_classes - 1.
    n_classes
        C.

    Returns
    -------
    NDArray[np.int64]
        int64 (C, C), rows are the true classes, columns the predicted ones.
    """
    from sklearn.metrics import confusion_matrix

    counts: NDArray[np.int64] = confusion_matrix(truth, chosen, labels=np.arange(n_classes)).astype(np.int64)
    return counts


def accuracy(counts: NDArray[np.int64]) -> float:
    """Return the accuracy of a confusion matrix; NaN if it is empty."""
    n = counts.sum()
    return float(np.trace(counts) / n) if n else math.nan


def macro_f1(counts: NDArray[np.int64]) -> float:
    """Return the mean F1 of the classes that occur, as true or as predicted class; NaN if none does."""
    # F1 = 2 TP / (2 TP + FP + FN), and the denominator is the sum of the class's row and column.
    both = counts.sum(0) + counts.sum(1)
    there = both > 0
    return float(np.mean(2 * np.diag(counts)[there] / both[there])) if there.any() else math.nan
