from __future__ import annotations

import math

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.learning.train.schedule import MonitorState, learning_rate, watch
from qupath_her2.models.settings import ScheduleSettings


def watched(values: list[float], settings: ScheduleSettings) -> list[MonitorState]:
    states, state = [], MonitorState()
    for epoch, value in enumerate(values, start=1):
        state = watch(state, epoch, value, settings)
        states.append(state)
    return states


def test_cosine_from_first_to_least() -> None:
    s = ScheduleSettings("cosine", learning_rate=1.0, least_learning_rate=0.2)
    rates = [learning_rate(s, step, 10, 2, 1.0) for step in range(20)]
    assert rates[0] == 1.0
    assert rates[10] == pytest.approx(0.6)
    assert rates == sorted(rates, reverse=True)
    assert learning_rate(s, 20, 10, 2, 1.0) == pytest.approx(0.2)


def test_warm_up_is_a_straight_rise() -> None:
    s = ScheduleSettings("constant", learning_rate=1.0, warm_up_epochs=1)
    assert [learning_rate(s, step, 4, 3, 1.0) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_plateau_halves_down_to_the_least() -> None:
    s = ScheduleSettings("plateau", learning_rate=1e-4, least_learning_rate=3e-5, plateau_epochs=2)
    states = watched([1.0, 0.9, 0.95, 0.92, 0.91, 0.93, 0.5], s)
    assert [state.share for state in states] == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    assert [state.best_epoch for state in states] == [1, 2, 2, 2, 2, 2, 7]
    rates = [learning_rate(s, 0, 1, 7, state.share) for state in states]
    assert rates == pytest.approx([1e-4] * 3 + [5e-5] * 2 + [3e-5] * 2)


def test_better_means_higher_for_accuracy_and_counts_from_the_least_gain() -> None:
    s = ScheduleSettings(monitor="accuracy", least_gain=0.01)
    states = watched([0.5, 0.505, 0.52, 0.4], s)
    assert [state.best_epoch for state in states] == [1, 1, 3, 3]
    assert [state.waited for state in states] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "step"},
        {"monitor": "auc"},
        {"learning_rate": 0.0, "least_learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"learning_rate": 1e-8},
        {"factor": 1.0},
        {"plateau_epochs": 0},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        ScheduleSettings(**wrong)  # type: ignore[arg-type]
