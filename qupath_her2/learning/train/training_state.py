"""Training state: what a run holds in memory, and how it is saved and resumed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.errors import TrainingError
from qupath_her2.learning.metrics.epoch_metrics import EpochRecord
from qupath_her2.learning.train.schedule import MonitorState, update_monitor
from qupath_her2.learning.train.state_file import load_state, optimiser_state, restore_optimiser, save_state
from qupath_her2.models.settings import TrainSettings

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["STATE_FILE", "TrainingState", "identity_settings", "make_optimiser"]

STATE_FILE = "state.safetensors"
_STATE_FORMAT = 1
#: Settings that affect where and how fast a training runs, but not its result: they may differ when it is resumed.
_FREE = ("device", "micro_batch_size", "precision", "read", "save_every_steps")


def identity_settings(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings that the result depends on, in the types that JSON gives back."""
    values = dataclasses.asdict(settings)
    kept = {name: value for name, value in values.items() if name not in _FREE}
    # Through JSON, since it turns tuples into lists: settings just given must equal those read from a file.
    plain: dict[str, Any] = orjson.loads(orjson.dumps(kept))
    return plain


def make_optimiser(model: Any, s: TrainSettings) -> Any:
    """Return the optimiser of the trainable weights.

    Raises
    ------
    TrainingError
        All weights of the model are frozen.
    """
    import torch

    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise TrainingError("Every weight of the model is frozen; there is nothing to train.")
    rate, decay = s.schedule.learning_rate, s.weight_decay
    if s.optimiser == "sgd":
        return torch.optim.SGD(trainable, lr=rate, momentum=s.momentum, weight_decay=decay)
    kind = torch.optim.Adam if s.optimiser == "adam" else torch.optim.AdamW
    return kind(trainable, lr=rate, weight_decay=decay)


@dataclass(slots=True, eq=False)
class TrainingState:
    """State of a running training.

    Attributes
    ----------
    folder
        Output folder.
    model, optimiser, scaler
        The network, not wrapped for several processes; its optimiser; the gradient scaler of fp16.
    settings
        Settings of the training.
    identity
        Settings, model and data that must be the same for the training to be resumed.
    average
        `timm.utils.ModelEmaV3`, the moving average of the weights, or None.
    epoch, step
        The next epoch, and the next step within it, from 0.
    steps_done
        Optimiser steps done; fewer than batches where batches could not be read.
    sums
        Of the current epoch so far: losses, weights, correct predictions, predictions.
    history, monitor
        Records of the finished epochs, and the best of them.
    unread
        {row: reason} of the patches that could not be read.
    confusion
        Confusion matrix of the best epoch.
    micro
        Patches per forward pass.
    """

    folder: Path
    model: Any
    optimiser: Any
    scaler: Any
    settings: TrainSettings
    identity: dict[str, Any]
    average: Any = None
    epoch: int = 0
    step: int = 0
    steps_done: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    history: list[EpochRecord] = field(default_factory=list)
    monitor: MonitorState = field(default_factory=MonitorState)
    unread: dict[int, str] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    # More than any batch: parts are made smaller only when the memory is full.
    micro: int = 1 << 30

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or early stopping applies."""
        patience = self.settings.schedule.stop_after_epochs
        return self.epoch >= self.settings.epochs or 0 < patience <= self.monitor.waited

    @property
    def evaluated_model(self) -> Any:
        """The network that is validated and saved: the moving average where there is one."""
        return self.model if self.average is None else self.average.module

    def update_average(self) -> None:
        """Move the average of the weights one step towards the model's; integer buffers are copied.

        The decay starts lower, at (1 + steps) / (10 + steps) as in TensorFlow's moving average, so that the random
        initial weights are soon forgotten.
        """
        if self.average is not None:
            steps = self.steps_done
            # Set here, because timm's own warm-up follows another formula and copies the weights in its first step.
            self.average.decay = min(self.settings.ema_decay, (1 + steps) / (10 + steps))
            self.average.update(self.model)

    def close_epoch(self, record: EpochRecord) -> bool:
        """Append an epoch to the history; return whether it is the best so far."""
        schedule = self.settings.schedule
        self.history.append(record)
        self.monitor = update_monitor(
            self.monitor, record.epoch, record.monitored(schedule.monitor), schedule
        )
        # The state saved next starts the following epoch: a closed epoch is never trained again.
        self.epoch, self.step, self.sums = self.epoch + 1, 0, [0.0, 0.0, 0.0, 0.0]
        return self.monitor.best_epoch == record.epoch

    def save(self) -> None:
        """Write the state file, atomically."""
        moments, optimiser_values = optimiser_state(self.optimiser)
        average = {} if self.average is None else self.average.module.state_dict()
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"optimiser/{name}": value for name, value in moments.items()}
        tensors |= {f"average/{name}": value for name, value in average.items()}
        values = {
            "format": _STATE_FORMAT,
            "identity": self.identity,
            "optimiser": optimiser_values,
            "scaler": self.scaler.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "steps_done": self.steps_done,
            "sums": self.sums,
            "history": [record.to_dict() for record in self.history],
            # JSON has no NaN, which means "no epoch yet".
            "watch": {
                **dataclasses.asdict(self.monitor),
                "best": self.monitor.best if self.history else None,
            },
            "confusion": self.confusion,
            "unread": {str(row): text for row, text in self.unread.items()},
        }
        save_state(self.folder / STATE_FILE, tensors, values)

    def resume(self) -> bool:
        """Restore the state saved in the folder; return whether there was one.

        Raises
        ------
        TrainingError
            The file is damaged, or belongs to a training with other settings, patches or initial weights.
        """
        path = self.folder / STATE_FILE
        if not path.exists():
            return False
        tensors, values = load_state(path)
        self._check_identity(path, values)
        # Weights are resumed whatever the model held: its new random initialisation has no influence.
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}, "average": {}}
        for name, value in tensors.items():
            part, rest = name.split("/", 1)
            parts[part][rest] = value
        self.model.load_state_dict(parts["model"])
        restore_optimiser(self.optimiser, parts["optimiser"], values["optimiser"])
        if self.average is not None:
            self.average.module.load_state_dict(parts["average"])
        # Empty unless fp16 was used; precision may differ, as another computer may resume.
        if values["scaler"]:
            self.scaler.load_state_dict(values["scaler"])
        self.epoch, self.step, self.steps_done = values["epoch"], values["step"], values["steps_done"]
        self.sums = values["sums"]
        self.history = [EpochRecord.from_dict(record) for record in values["history"]]
        if self.history:
            self.monitor = MonitorState(**values["watch"])
        self.confusion = values["confusion"]
        self.unread = {int(row): text for row, text in values["unread"].items()}
        return True

    def _check_identity(self, path: Path, values: dict[str, Any]) -> None:
        if values.get("format") != _STATE_FORMAT:
            raise TrainingError(
                f"'{path}' has format {values.get('format')!r}; this version reads {_STATE_FORMAT}. "
                "Choose another output folder, or pass --restart."
            )
        before, now = _flat(values["identity"]), _flat(self.identity)
        differing = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if differing:
            listed = ", ".join(f"{key}: {before.get(key)!r:.60} → {now.get(key)!r:.60}" for key in differing)
            raise TrainingError(
                f"Cannot resume the training in '{self.folder}': settings differ ({listed}). "
                "Restore them, choose another output folder, or pass --restart."
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names, so that a message can name the one that differs."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
