"""The learning rate over time, and the watch that is kept over the validation: best, plateau, early stop."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from qupath_her2.errors import SettingsError

__all__ = ["ScheduleSettings", "Watch", "learning_rate", "watch"]


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """How the learning rate runs, and when training ends early.

    Attributes
    ----------
    kind
        ``constant``; ``cosine`` from `learning_rate` to `least_learning_rate` over all steps [1]_;
        ``plateau``: times `factor` after `plateau_epochs` epochs without a better value.
    learning_rate, least_learning_rate
        First value, and the one it never falls below.
    warm_up_epochs
        A straight rise from 0, before anything else.
    factor, plateau_epochs
        Of ``plateau``.
    monitor
        Which value of the validation counts as better: ``loss`` (lower), ``accuracy`` or ``macro_f1``
        (higher). The best checkpoint is chosen by it too.
    least_gain
        What is not better by this much is not better.
    stop_after_epochs
        Epochs without a better value after which training ends; 0 never.

    References
    ----------
    .. [1] Loshchilov I, Hutter F. SGDR: stochastic gradient descent with warm restarts. ICLR 2017.
       arXiv:1608.03983
    """

    kind: Literal["constant", "cosine", "plateau"] = "cosine"
    learning_rate: float = 1e-4
    least_learning_rate: float = 1e-7
    warm_up_epochs: int = 0
    factor: float = 0.5
    plateau_epochs: int = 3
    monitor: Literal["loss", "accuracy", "macro_f1"] = "loss"
    least_gain: float = 1e-4
    stop_after_epochs: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("constant", "cosine", "plateau"):
            raise SettingsError(f"Unknown schedule {self.kind!r}. Choose constant, cosine or plateau.")
        if self.monitor not in ("loss", "accuracy", "macro_f1"):
            raise SettingsError(f"Unknown monitor {self.monitor!r}. Choose loss, accuracy or macro_f1.")
        if not 0 <= self.least_learning_rate <= self.learning_rate < math.inf or self.learning_rate == 0:
            raise SettingsError(
                f"Learning rates {self.learning_rate!r} and least {self.least_learning_rate!r} are not "
                "0 <= least <= first, first above 0."
            )
        if not 0 < self.factor < 1:
            raise SettingsError(f"Schedule factor = {self.factor!r} is not between 0 and 1.")
        if self.plateau_epochs < 1 or self.warm_up_epochs < 0 or self.stop_after_epochs < 0:
            raise SettingsError(
                "plateau_epochs must be at least 1, warm_up_epochs and stop_after_epochs at least 0."
            )


@dataclass(frozen=True, slots=True)
class Watch:
    """What the validation has said so far.

    `best` value of the monitor and its `best_epoch` (-1: none yet); `waited` epochs since, and `waited_at_rate`
    since the rate last fell; `share`, what is left of the learning rate (plateau).
    """

    best: float = math.nan
    best_epoch: int = -1
    waited: int = 0
    waited_at_rate: int = 0
    share: float = 1.0


def watch(before: Watch, epoch: int, value: float, settings: ScheduleSettings) -> Watch:
    """Return the watch after an epoch whose monitored value is `value`."""
    gain = before.best - value if settings.monitor == "loss" else value - before.best
    if before.best_epoch < 0 or gain > settings.least_gain:
        return Watch(value, epoch, 0, 0, before.share)
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
        From `Watch`; counts for ``plateau`` alone.
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
