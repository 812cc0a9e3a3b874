from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import nn

from qupath_her2.errors import TrainingError
from qupath_her2.learning.metrics.epoch_metrics import EpochRecord
from qupath_her2.learning.train.training_state import TrainingState, identity_settings, make_optimiser
from qupath_her2.models.settings import LossSettings, ReadSettings, ScheduleSettings, TrainSettings


def state_of(folder: Path, settings: TrainSettings, net: nn.Module, **identity: Any) -> TrainingState:
    average = ModelEmaV3(net, decay=settings.ema_decay) if settings.ema_decay else None
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return TrainingState(folder, net, make_optimiser(net, settings), scaler, settings, identity, average)


def test_settings_of_the_machine_do_not_belong_to_the_identity() -> None:
    plain = identity_settings(TrainSettings(loss=LossSettings(class_weights=(1.0, 2.0))))
    moved = identity_settings(
        TrainSettings(
            loss=LossSettings(class_weights=(1.0, 2.0)),
            device="cuda",
            precision="bf16",
            micro_batch_size=2,
            read=ReadSettings(threads=9),
            save_every_steps=5,
        )
    )
    assert plain == moved
    assert plain["loss"]["class_weights"] == [1.0, 2.0]
    assert plain != identity_settings(TrainSettings(seed=1))


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_only_trainable_weights_are_optimised(kind: Any) -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    net[0].requires_grad_(False)
    (group,) = make_optimiser(net, TrainSettings(optimiser=kind, weight_decay=0.1)).param_groups
    assert group["params"] == list(net[1].parameters())
    assert group["weight_decay"] == 0.1


def test_the_moving_average_is_that_of_its_formula(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    state = state_of(tmp_path, TrainSettings(ema_decay=0.3), net)
    expected = net[0].weight.detach().clone()
    for step in range(1, 9):
        with torch.no_grad():
            net[0].weight.add_(step)
        net[1].num_batches_tracked.fill_(step)
        state.steps_done = step
        state.update_average()
        # Below the decay of 0.3 at first: 2 / 11 = 0.18, 3 / 12 = 0.25, 4 / 13 = 0.31.
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net[0].weight.detach()
    average = state.evaluated_model
    assert torch.allclose(average[0].weight, expected, rtol=1e-6)
    assert int(average[1].num_batches_tracked) == 8
    assert not torch.allclose(average[0].weight, net[0].weight)


def test_it_is_over_after_the_epochs_or_by_early_stopping(tmp_path: Path) -> None:
    settings = TrainSettings(epochs=9, schedule=ScheduleSettings(stop_after_epochs=2))
    state = state_of(tmp_path, settings, nn.Linear(2, 1))
    improved = []
    for epoch, loss in enumerate((1.0, 0.5, 0.6, 0.7), start=1):
        assert not state.is_over
        improved.append(state.close_epoch(EpochRecord(epoch, 1e-3, loss, 0.5)))
    assert improved == [True, True, False, False]
    assert state.is_over


def test_everything_is_restored(tmp_path: Path) -> None:
    settings = TrainSettings(ema_decay=0.9)
    first = state_of(tmp_path, settings, nn.Linear(2, 1), patches="abc")
    first.model(torch.ones(3, 2)).sum().backward()
    first.optimiser.step()
    first.steps_done = 1
    first.update_average()
    first.close_epoch(EpochRecord(1, 1e-3, 0.5, 0.5))
    first.step, first.sums, first.unread = 4, [1.0, 2.0, 3.0, 4.0], {7: "broken"}
    first.save()
    again = state_of(tmp_path, settings, nn.Linear(2, 1), patches="abc")
    assert again.resume()
    for one, other in ((first.model, again.model), (first.average.module, again.average.module)):
        assert torch.equal(one.weight, other.weight)
    for name in ("epoch", "step", "steps_done", "sums", "monitor", "unread", "confusion"):
        assert getattr(again, name) == getattr(first, name), name
    assert [record.to_dict() for record in again.history] == [record.to_dict() for record in first.history]


def test_without_a_file_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert not state_of(tmp_path, TrainSettings(), nn.Linear(2, 1)).resume()


def test_other_data_are_named(tmp_path: Path) -> None:
    state_of(tmp_path, TrainSettings(), nn.Linear(2, 1), patches="abc", options={"width": 4}).save()
    other = state_of(tmp_path, TrainSettings(), nn.Linear(2, 1), patches="xyz", options={"width": 8})
    with pytest.raises(TrainingError, match=r"differ \(options.width: 4 → 8, patches: 'abc' → 'xyz'\)"):
        other.resume()
