"""The learning rate over time, and the watch that is kept over the validation: best, plateau, early stop."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from qupath_her2.models.settings import ScheduleSettings

__all__ = ["MonitorState", "learning_rate", "watch"]


@dataclass(frozen=True, slots=True)
class MonitorState:
    """What the validation has said so far.

    `best` value of the monitor and its `best_epoch` (-1: none yet); `waited` epochs since, and `waited_at_rate`
    since the rate last fell; `share`, what is left of the learning rate (plateau).
    """

    best: float = math.nan
    best_epoch: int = -1
    waited: int = 0
    waited_at_rate: int = 0
    share: float = 1.0


def watch(before: MonitorState, epoch: int, value: float, settings: ScheduleSettings) -> MonitorState:
    """Return the watch after an epoch whose monitored value is `value`."""
    gain = before.best - value if settings.monitor == "loss" else value - before.best
    if before.best_epoch < 0 or gain > settings.least_gain:
        return MonitorState(value, epoch, 0, 0, before.share)
    after = dataclasses.replace(before, waited=before.waited + 1, waited_at_rate=before.waited_at_rate + 1)
    if settings.kind == "plateau" and after.waited_at_rate >= settings.plateau_epochs:
        return dataclasses.replace(after, waited_at_rate=0, share=after.share * settings.factor)
    return after


def learning_rate(
    settings: ScheduleSettings, step: int, steps_an_epoch: int, epochs: int, share: float
) -> float:
    """Return the learning rate of one step.

    Parameters
    ----------
    settings
        The schedule.
    step
        Steps done before this one, over all epochs.
    steps_an_epoch, epochs
        Of the whole training.
    share
        From `MonitorState`; counts for ``plateau`` alone.
    """
    warm_up = settings.warm_up_epochs * steps_an_epoch
    if step < warm_up:
        return settings.learning_rate * (step + 1) / warm_up
    if settings.kind == "constant":
        return settings.learning_rate
    if settings.kind == "plateau":
        return max(settings.learning_rate * share, settings.least_learning_rate)
    done = (step - warm_up) / max(1, epochs * steps_an_epoch - warm_up)
    span = settings.learning_rate - settings.least_learning_rate
    return settings.least_learning_rate + span * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
