from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from qupath_her2.learning.train.schedule import MonitorState, learning_rate, update_monitor
from qupath_her2.models.settings import ScheduleSettings


def monitored(values: list[float], settings: ScheduleSettings) -> list[MonitorState]:
    states, state = [], MonitorState()
    for epoch, value in enumerate(values, start=1):
        state = update_monitor(state, epoch, value, settings)
        states.append(state)
    return states


def test_cosine_from_first_to_least() -> None:
    s = ScheduleSettings("cosine", learning_rate=1.0, least_learning_rate=0.2)
    rates = [learning_rate(s, step, 10, 2, 1.0) for step in range(20)]
    assert rates[0] == 1.0
    assert rates[10] == pytest.approx(0.6)
    assert rates == sorted(rates, reverse=True)
    assert learning_rate(s, 20, 10, 2, 1.0) == pytest.approx(0.2)


def test_warm_up_is_linear() -> None:
    s = ScheduleSettings("constant", learning_rate=1.0, warm_up_epochs=1)
    assert [learning_rate(s, step, 4, 3, 1.0) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_plateau_halves_the_rate_down_to_the_least() -> None:
    s = ScheduleSettings("plateau", learning_rate=1e-4, least_learning_rate=3e-5, plateau_epochs=2)
    states = monitored([1.0, 0.9, 0.95, 0.92, 0.91, 0.93, 0.5], s)
    assert [state.share for state in states] == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    assert [state.best_epoch for state in states] == [1, 2, 2, 2, 2, 2, 7]
    rates = [learning_rate(s, 0, 1, 7, state.share) for state in states]
    assert rates == pytest.approx([1e-4] * 3 + [5e-5] * 2 + [3e-5] * 2)


def test_accuracy_must_rise_by_the_least_gain() -> None:
    s = ScheduleSettings(monitor="accuracy", least_gain=0.01)
    states = monitored([0.5, 0.505, 0.52, 0.4], s)
    assert [state.best_epoch for state in states] == [1, 1, 3, 3]
    assert [state.waited for state in states] == [0, 1, 0, 1]


@pytest.mark.parametrize("warm_up_epochs", [0, 1])
@pytest.mark.parametrize("kind", ["constant", "cosine"])
def test_rates_are_those_of_torchs_schedulers(kind: Any, warm_up_epochs: int) -> None:
    steps, epochs = 5, 4
    s = ScheduleSettings(kind, learning_rate=3e-3, least_learning_rate=1e-5, warm_up_epochs=warm_up_epochs)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=s.learning_rate)
    warm_up = warm_up_epochs * steps
    main = (
        lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps - warm_up, eta_min=s.least_learning_rate)
        if kind == "cosine"
        else lr_scheduler.ConstantLR(optimiser, factor=1.0)
    )
    if warm_up:
        rise = lr_scheduler.LinearLR(optimiser, 1 / warm_up, 1.0, total_iters=warm_up - 1)
        main = lr_scheduler.SequentialLR(optimiser, [rise, main], [warm_up])
    expected = []
    for _ in range(epochs * steps):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        main.step()
    rates = [learning_rate(s, step, steps, epochs, 1.0) for step in range(epochs * steps)]
    assert rates == pytest.approx(expected, rel=1e-9)


def test_the_plateau_is_torchs() -> None:
    s = ScheduleSettings(
        "plateau", learning_rate=1e-2, least_learning_rate=1e-3, plateau_epochs=3, least_gain=0.01
    )
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=s.learning_rate)
    # torch's patience is the number of epochs that are forgiven: ours minus one.
    plateau = lr_scheduler.ReduceLROnPlateau(
        optimiser,
        factor=s.factor,
        patience=2,
        threshold=s.least_gain,
        threshold_mode="abs",
        min_lr=1e-3,
        eps=0,
    )
    values = np.random.default_rng(0).uniform(0.5, 1.0, 40).tolist()
    expected = []
    for value in values:
        plateau.step(value)
        expected.append(optimiser.param_groups[0]["lr"])
    rates = [learning_rate(s, 0, 1, 40, state.share) for state in monitored(values, s)]
    assert len(set(rates)) == 5
    assert rates == pytest.approx(expected, rel=1e-9)
