"""Parts that all progress displays share: the bar with the time left, JSON lines, and the choice between them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from qupath_her2.cli.options import ProgressKind

__all__ = ["progress_bar", "say_json", "wants_bar"]


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
