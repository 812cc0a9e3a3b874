"""Parts that all progress displays share: the bar with the time left, JSON lines, and the choice between them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import typer

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress
    from typing_extensions import Self

    from qupath_her2.cli.options import ProgressKind

__all__ = ["FileBar", "QuietView", "progress_bar", "say_json", "wants_bar"]

Event = TypeVar("Event")


def say_json(**fields: Any) -> None:
    """Write one JSON line to standard output and flush it, so that a reading program sees it at once."""
    typer.echo(json.dumps(fields))
    sys.stdout.flush()


def wants_bar(kind: ProgressKind) -> bool:
    """Return whether to show a bar: if asked for, or by ``auto`` if standard error is a terminal."""
    return kind.value == "bar" or (kind.value == "auto" and sys.stderr.isatty())


def progress_bar(*fields: str, after: str = "") -> Progress:
    """Return a bar on standard error: description, bar, fields of the task, time so far and time left.

    Parameters
    ----------
    *fields
        Fields of the task shown after the bar, as given to ``add_task`` and ``update``.
    after
        Field shown last, such as a file name, whose changing length moves nothing else.

    Returns
    -------
    Progress
        Not started yet.
    """
    # Imported where a bar is shown: a run without a terminal needs none of it.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    # No markup in texts: a file name may hold brackets.
    shown = [TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in fields]
    last = [TextColumn(f"{{task.fields[{after}]}}", markup=False)] if after else []
    left = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    description = TextColumn("{task.description}")
    return Progress(description, BarColumn(), *shown, *left, *last, console=Console(stderr=True))


class QuietView(Generic[Event]):
    """Shows nothing; a context manager, as the views that do show the events of a verb."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to tidy."""

    def show(self, event: Event) -> None:
        """Take the event and show nothing."""


class FileBar(QuietView[Event]):
    """A bar of one task from 0 to 1 on standard error, with the file in work behind it; `show` moves it."""

    def __init__(self, description: str, *fields: str, is_timed: bool = True, name: str = "") -> None:
        self._progress = progress_bar(*fields, after="name")
        empty: dict[str, Any] = dict.fromkeys(fields, "")
        self._task = self._progress.add_task(description, total=1.0, start=is_timed, name=name, **empty)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar and leave it visible."""
        self._progress.update(self._task, name="")
        self._progress.stop()
