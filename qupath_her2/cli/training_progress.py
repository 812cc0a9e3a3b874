"""Progress of a training run: a bar with the time left, one line per epoch, or JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.progress import progress_bar, say_json, wants_bar

if TYPE_CHECKING:
    from types import TracebackType

    from qupath_her2.learning.metrics.epoch_metrics import EpochRecord
    from qupath_her2.learning.train.loop import TrainProgress

__all__ = ["TrainingView", "training_view"]


class TrainingView:
    """Display of a training run that shows nothing; the others override what they show."""

    def __enter__(self) -> TrainingView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the display and leave the terminal tidy."""

    def begin(self, name: str) -> None:
        """Show that another training starts."""

    def training(self, where: TrainProgress) -> None:
        """Show a step of the training."""

    def predicting(self, done: int, total: int) -> None:
        """Show how many test patches are predicted."""


def training_view(kind: ProgressKind) -> TrainingView:
    """Return the display that `kind` asks for; ``auto`` is a bar on a terminal and one line per epoch elsewhere."""
    if kind is ProgressKind.off:
        return TrainingView()
    if kind is ProgressKind.json:
        return _JsonView()
    return _BarView() if wants_bar(kind) else _LineView()


def _words(record: EpochRecord) -> str:
    fields = record.to_dict()
    shown = {
        name: value for name, value in fields.items() if isinstance(value, float) and name != "learning_rate"
    }
    return "  ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in shown.items())


class _LineView(TrainingView):
    """One line on standard error per epoch, for log files."""

    def __init__(self) -> None:
        self._epochs = 0

    def begin(self, name: str) -> None:
        self._epochs = 0
        typer.echo(name, err=True)

    def training(self, where: TrainProgress) -> None:
        ended = self._ended(where)
        if ended is not None:
            typer.echo(f"epoch {ended.epoch}/{where.epochs}  {_words(ended)}", err=True)

    def _ended(self, where: TrainProgress) -> EpochRecord | None:
        """Return the epoch that ended since the last call, if any."""
        # No finished epoch means that a new training has started, e.g. that of the next network.
        before, self._epochs = self._epochs, 0 if where.last is None else where.last.epoch
        return where.last if self._epochs > before else None


class _JsonView(_LineView):
    def begin(self, name: str) -> None:
        self._epochs = 0
        say_json(event="begin", name=name)

    def training(self, where: TrainProgress) -> None:
        fields: dict[str, Any] = {"epoch": where.epoch, "epochs": where.epochs, "step": where.step}
        say_json(event="training", **fields, steps=where.steps, loss=where.loss)
        ended = self._ended(where)
        if ended is not None:
            say_json(event="epoch", **ended.to_dict())

    def predicting(self, done: int, total: int) -> None:
        say_json(event="testing", done=done, total=total)


class _BarView(TrainingView):
    """A bar on standard error: epochs, loss, time left."""

    def __init__(self) -> None:
        self._progress = progress_bar("words")
        self._task = self._progress.add_task("train", total=None, words="")

    def __enter__(self) -> TrainingView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, name: str) -> None:
        self._progress.reset(self._task, description=name, total=None, words="")

    def training(self, where: TrainProgress) -> None:
        last = "" if where.last is None else f"  {_words(where.last)}"
        self._progress.update(
            self._task,
            description="train",
            total=where.epochs * where.steps,
            completed=(where.epoch - 1) * where.steps + where.step,
            words=f"epoch {where.epoch}/{where.epochs}  loss {where.loss:.4f}{last}",
        )

    def predicting(self, done: int, total: int) -> None:
        self._progress.update(
            self._task, description="test ", total=total, completed=done, words=f"{done:,}/{total:,} patches"
        )
