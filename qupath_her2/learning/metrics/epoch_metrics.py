"""The few figures that training watches: loss, accuracy, macro F1. Reports take theirs from `scoring.agreement`."""

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
    """One point of the curves.

    `epoch` from 1; losses are means over patches, weighted as in training; accuracies and F1 0..1. The training's
    own figures are taken while it learns, with augmentation; the validation's are NaN without a validation split.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float = math.nan
    validation_accuracy: float = math.nan
    validation_macro_f1: float = math.nan

    def monitored(self, monitor: Literal["loss", "accuracy", "macro_f1"]) -> float:
        """Return the value to watch: the validation's, or the training's where there is no validation."""
        value: float = getattr(self, f"validation_{monitor}")
        if not math.isnan(self.validation_loss):
            return value
        return self.train_loss if monitor == "loss" else self.train_accuracy

    def to_dict(self) -> dict[str, float | None]:
        """Return plain values; what is not measured is None."""
        values = dataclasses.asdict(self)
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, float | None]) -> EpochRecord:
        """Return what `to_dict` was made from."""
        given: dict[str, Any] = {k: math.nan if v is None else v for k, v in values.items()}
        return cls(**given)


def confusion(truth: NDArray[np.int64], chosen: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Return int64 (C, C): row the true class, column the chosen one."""
    pairs = np.bincount(truth * n_classes + chosen, minlength=n_classes * n_classes)
    return pairs.reshape(n_classes, n_classes).astype(np.int64)


def accuracy(counts: NDArray[np.int64]) -> float:
    """Return the share on the diagonal of a confusion matrix; NaN of an empty one."""
    n = counts.sum()
    return float(np.trace(counts) / n) if n else math.nan


def macro_f1(counts: NDArray[np.int64]) -> float:
    """Return the mean F1 of the classes that occur, as truth or as choice; NaN where none does."""
    both = counts.sum(0) + counts.sum(1)
    there = both > 0
    return float(np.mean(2 * np.diag(counts)[there] / both[there])) if there.any() else math.nan
