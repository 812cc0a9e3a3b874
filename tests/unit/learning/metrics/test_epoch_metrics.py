from __future__ import annotations

import math

import numpy as np
import pytest

from qupath_her2.learning.metrics.epoch_metrics import EpochRecord, accuracy, confusion, macro_f1


def record(epoch: int, loss: float, validation: float = math.nan) -> EpochRecord:
    share = math.nan if math.isnan(validation) else 0.75
    return EpochRecord(epoch, 1e-3, loss, 0.5, validation, share, share)


def test_confusion_counts_true_classes_in_rows() -> None:
    counts = confusion(np.array([0, 0, 2]), np.array([0, 1, 1]), 3)
    assert counts.dtype == np.int64
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("monitor", "of_training", "of_validation"), [("loss", 0.4, 0.9), ("accuracy", 0.5, 0.75)]
)
def test_without_validation_the_training_is_monitored(
    monitor: str, of_training: float, of_validation: float
) -> None:
    assert record(1, 0.4).monitored(monitor) == of_training  # type: ignore[arg-type]
    assert record(1, 0.4, 0.9).monitored(monitor) == of_validation  # type: ignore[arg-type]


def test_metrics_are_scikit_learns() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 300)
    chosen = np.where(rng.random(300) < 0.6, truth, rng.integers(0, 3, 300))
    counts = confusion(truth, chosen, 5)
    assert accuracy(counts) == metrics.accuracy_score(truth, chosen)
    assert macro_f1(counts) == pytest.approx(metrics.f1_score(truth, chosen, average="macro"))
    assert math.isnan(accuracy(np.zeros((2, 2), np.int64)))
    assert math.isnan(macro_f1(np.zeros((2, 2), np.int64)))


def test_records_round_trip_through_json() -> None:
    for one in (record(3, 0.1 + 0.2), record(1, 1 / 3, 2 / 3)):
        back = EpochRecord.from_dict(one.to_dict())
        assert repr(back) == repr(one)
