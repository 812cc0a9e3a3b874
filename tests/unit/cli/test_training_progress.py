"""Progress of a training: lines per epoch, JSON lines, a bar, or nothing."""

from __future__ import annotations

import json
import math

import pytest

from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.training_progress import training_view
from qupath_her2.learning.metrics.epoch_metrics import EpochRecord
from qupath_her2.learning.train.loop import TrainProgress


def record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch, 1e-3, train_loss=1 / epoch, train_accuracy=0.5, validation_loss=math.nan)


def two_trainings(kind: ProgressKind) -> None:
    """Show two trainings of two epochs with two steps each, then the prediction of 30 test patches."""
    with training_view(kind) as view:
        for name in ("first", "second"):
            view.begin(name)
            for epoch in (1, 2):
                for step in (1, 2):
                    view.training(
                        TrainProgress(epoch, 2, step, 2, 0.25, record(epoch - 1) if epoch > 1 else None)
                    )
            view.training(TrainProgress(2, 2, 2, 2, 0.25, record(2)))
        view.predicting(15, 30)


def test_a_log_has_one_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    two_trainings(ProgressKind.auto)
    out, err = capsys.readouterr()
    assert out == ""
    epochs = [
        "epoch 1/2  train loss 1.0000  train accuracy 0.5000",
        "epoch 2/2  train loss 0.5000  train accuracy 0.5000",
    ]
    assert err.splitlines() == ["first", *epochs, "second", *epochs]


def test_json_lines_tell_steps_epochs_and_tests(capsys: pytest.CaptureFixture[str]) -> None:
    two_trainings(ProgressKind.json)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds.count("begin") == 2
    assert kinds.count("training") == 10
    assert [(e["epoch"], e["train_loss"], e["validation_loss"]) for e in events if e["event"] == "epoch"] == [
        (1, 1.0, None),
        (2, 0.5, None),
    ] * 2
    assert events[1] == {"event": "training", "epoch": 1, "epochs": 2, "step": 1, "steps": 2, "loss": 0.25}
    assert events[-1] == {"event": "testing", "done": 15, "total": 30}


def test_a_bar_ends_with_the_test_patches(capsys: pytest.CaptureFixture[str]) -> None:
    two_trainings(ProgressKind.bar)
    out, err = capsys.readouterr()
    assert out == ""
    assert "15/30 patches" in err


def test_off_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    two_trainings(ProgressKind.off)
    assert capsys.readouterr() == ("", "")
