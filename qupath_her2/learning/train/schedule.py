"""Learning-rate schedule, and the monitoring of validation: best epoch, plateau, early stopping.

Own code: the rate is a pure function of the step and the validation history, so that a resumed training needs no
scheduler state and gets the same rates bit for bit; torch's schedulers derive each rate from the one before. Tests
compare the rates with torch's LinearLR, CosineAnnealingLR and ReduceLROnPlateau.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from qupath_her2.models.settings import ScheduleSettings

__all__ = ["MonitorState", "learning_rate", "update_monitor"]


@dataclass(frozen=True, slots=True)
class MonitorState:
    """Validation history as early stopping and the plateau schedule need it.

    Attributes
    ----------
    best
        Best value of the monitored metric; NaN before the first epoch.
    best_epoch
        Its epoch, from 1; -1 before the first epoch.
    waited
        Epochs since the best one.
    waited_at_rate
        Epochs without improvement since the learning rate was last reduced.
    share
        Current learning rate of ``plateau`` as a share of the initial one, 0..1.
    """

    best: float = math.nan
    best_epoch: int = -1
    waited: int = 0
    waited_at_rate: int = 0
    share: float = 1.0


def update_monitor(
    before: MonitorState, epoch: int, value: float, settings: ScheduleSettings
) -> MonitorState:
    """Return the state after an epoch.

    Parameters
    ----------
    before
        State before the epoch.
    epoch
        Number of the epoch, from 1.
    value
        Its value of the monitored metric.
    settings
        Metric, smallest improvement, and patience of the plateau.

    Returns
    -------
    MonitorState
        The new state; ``best_epoch`` is `epoch` if this was an improvement.
    """
    gain = before.best - value if settings.monitor == "loss" else value - before.best
    if before.best_epoch < 0 or gain > settings.least_gain:
        return MonitorState(value, epoch, 0, 0, before.share)
    after = dataclasses.replace(before, waited=before.waited + 1, waited_at_rate=before.waited_at_rate + 1)
    if settings.kind == "plateau" and after.waited_at_rate >= settings.plateau_epochs:
        # `waited` counts on: reductions of the rate must not postpone early stopping.
        return dataclasses.replace(after, waited_at_rate=0, share=after.share * settings.factor)
    return after


def learning_rate(
    settings: ScheduleSettings, step: int, steps_an_epoch: int, epochs: int, share: float
) -> float:
    """Return the learning rate of one optimiser step.

    Parameters
    ----------
    settings
        The schedule.
    step
        Steps done before this one, over all epochs.
    steps_an_epoch, epochs
        Length of the whole training.
    share
        `MonitorState.share`; used by ``plateau`` only.

    Returns
    -------
    float
        The rate, above 0.
    """
    warm_up = settings.warm_up_epochs * steps_an_epoch
    if step < warm_up:
        # From step + 1: with a rate of 0 the first step would be wasted.
        return settings.learning_rate * (step + 1) / warm_up
    if settings.kind == "constant":
        return settings.learning_rate
    if settings.kind == "plateau":
        return max(settings.learning_rate * share, settings.least_learning_rate)
    done = (step - warm_up) / max(1, epochs * steps_an_epoch - warm_up)
    span = settings.learning_rate - settings.least_learning_rate
    return settings.least_learning_rate + span * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
