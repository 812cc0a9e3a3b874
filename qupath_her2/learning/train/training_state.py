"""What a training holds while it runs, and how that is put on the disk and taken up again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.errors import TrainingError
from qupath_her2.learning.metrics.epoch_metrics import EpochRecord
from qupath_her2.learning.train.schedule import MonitorState, watch
from qupath_her2.learning.train.state_file import load_state, optimiser_state, restore_optimiser, save_state
from qupath_her2.models.settings import TrainSettings

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["STATE_FILE", "TrainingState", "make_optimiser", "identity_settings"]

STATE_FILE = "state.safetensors"
_STATE_FORMAT = 1
#: Settings that change where and how fast a curve is made, not the curve: another machine may take over.
_FREE = ("device", "micro_batch_size", "precision", "read", "save_every_steps")


def identity_settings(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings that a curve depends on, as JSON gives them back."""
    words = dataclasses.asdict(settings)
    kept = {name: value for name, value in words.items() if name not in _FREE}
    plain: dict[str, Any] = orjson.loads(orjson.dumps(kept))
    return plain


def make_optimiser(model: Any, s: TrainSettings) -> Any:
    """Return the optimiser of the weights that learn.

    Raises
    ------
    TrainingError
        Every weight of the model is frozen.
    """
    import torch

    learning = [p for p in model.parameters() if p.requires_grad]
    if not learning:
        raise TrainingError("Every weight of the model is frozen; there is nothing to train.")
    rate, decay = s.schedule.learning_rate, s.weight_decay
    if s.optimiser == "sgd":
        return torch.optim.SGD(learning, lr=rate, momentum=s.momentum, weight_decay=decay)
    kind = torch.optim.Adam if s.optimiser == "adam" else torch.optim.AdamW
    return kind(learning, lr=rate, weight_decay=decay)


@dataclass(slots=True, eq=False)
class TrainingState:
    """A training under way.

    `epoch` and `step` (within it) are the next to be done, from 0; `sums` are the losses, weights, right answers and
    number of the epoch's patches so far; `history` and `watch` of the epochs done; `confusion` of the best one;
    `unread` {row: why}; `micro` patches are in the network at once.
    `identity` is what must be the same for a state to be taken up.
    """

    folder: Path
    model: Any
    optimiser: Any
    scaler: Any
    settings: TrainSettings
    identity: dict[str, Any]
    average: dict[str, Tensor] | None = None
    epoch: int = 0
    step: int = 0
    steps_done: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    history: list[EpochRecord] = field(default_factory=list)
    watch: MonitorState = field(default_factory=MonitorState)
    unread: dict[int, str] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    micro: int = 1 << 30

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or the validation has waited long enough."""
        patience = self.settings.schedule.stop_after_epochs
        return self.epoch >= self.settings.epochs or 0 < patience <= self.watch.waited

    def close_epoch(self, record: EpochRecord) -> bool:
        """Enter an epoch into the history; return whether it is the best so far."""
        schedule = self.settings.schedule
        self.history.append(record)
        self.watch = watch(self.watch, record.epoch, record.monitored(schedule.monitor), schedule)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, [0.0, 0.0, 0.0, 0.0]
        return self.watch.best_epoch == record.epoch

    def save(self) -> None:
        """Put everything on the disk, in one step."""
        moments, words = optimiser_state(self.optimiser)
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"optimiser/{name}": value for name, value in moments.items()}
        tensors |= {f"average/{name}": value for name, value in (self.average or {}).items()}
        plain = {
            "format": _STATE_FORMAT,
            "identity": self.identity,
            "optimiser": words,
            "scaler": self.scaler.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "steps_done": self.steps_done,
            "sums": self.sums,
            "history": [record.to_dict() for record in self.history],
            # NaN, "none yet", has no JSON.
            "watch": {**dataclasses.asdict(self.watch), "best": self.watch.best if self.history else None},
            "confusion": self.confusion,
            "unread": {str(row): text for row, text in self.unread.items()},
        }
        save_state(self.folder / STATE_FILE, tensors, plain)

    def resume(self) -> bool:
        """Go on from the state in the folder; return whether there was one.

        Raises
        ------
        TrainingError
            It is damaged, or belongs to a training with other settings, patches or weights.
        """
        path = self.folder / STATE_FILE
        if not path.exists():
            return False
        tensors, words = load_state(path)
        self._check_identity(path, words)
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}, "average": {}}
        for name, value in tensors.items():
            part, rest = name.split("/", 1)
            parts[part][rest] = value
        self.model.load_state_dict(parts["model"])
        restore_optimiser(self.optimiser, parts["optimiser"], words["optimiser"])
        if self.average is not None:
            for name, value in parts["average"].items():
                self.average[name].copy_(value)
        if words["scaler"]:
            self.scaler.load_state_dict(words["scaler"])
        self.epoch, self.step, self.steps_done = words["epoch"], words["step"], words["steps_done"]
        self.sums = words["sums"]
        self.history = [EpochRecord.from_dict(record) for record in words["history"]]
        if self.history:
            self.watch = MonitorState(**words["watch"])
        self.confusion = words["confusion"]
        self.unread = {int(row): text for row, text in words["unread"].items()}
        return True

    def _check_identity(self, path: Path, words: dict[str, Any]) -> None:
        if words.get("format") != _STATE_FORMAT:
            raise TrainingError(
                f"'{path}' has format {words.get('format')!r}; this version reads {_STATE_FORMAT}. "
                "Choose another output folder."
            )
        before, now = _flat(words["identity"]), _flat(self.identity)
        other = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if other:
            listed = ", ".join(f"{key}: {before.get(key)!r:.60} → {now.get(key)!r:.60}" for key in other)
            raise TrainingError(
                f"The training in '{self.folder}' was begun otherwise ({listed}). "
                "Go on with what it was begun with, choose another output folder, or train anew without resuming."
            )


def _flat(words: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in words.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
