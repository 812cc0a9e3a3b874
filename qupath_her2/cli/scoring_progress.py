"""Progress of a scoring run: a bar with the time left, one line per image, or JSON lines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import typer

from qupath_her2.cli.progress import FileBar, QuietView, say_json, wants_bar
from qupath_her2.project.visible_text import visible_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from qupath_her2.batch.job import JobEvent
    from qupath_her2.cli.options import ProgressKind

__all__ = ["ProgressView", "progress_view"]


class ProgressView(Protocol):
    """A context manager that shows the events of a run on the terminal."""

    def __enter__(self) -> ProgressView:
        """Start the display."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the display and leave the terminal tidy."""

    def show(self, event: JobEvent) -> None:
        """Show one event."""


def progress_view(kind: ProgressKind, work: Mapping[str, float]) -> ProgressView:
    """Return the display that `kind` asks for; ``auto`` is a bar on a terminal and one line per image elsewhere.

    `work` is the expected work of each image, by which the share that is done and the time left are told.
    """
    if kind.value == "json":
        return JsonView(work)
    if kind.value == "off":
        return QuietView()
    return BarView(work) if wants_bar(kind) else LineView(len(work))


class LineView(QuietView["JobEvent"]):
    """One line on standard error per finished image, for log files."""

    def __init__(self, n_images: int) -> None:
        self._n_images = n_images
        self._finished = 0

    def show(self, event: JobEvent) -> None:
        """Write a line if the event is the end of an image."""
        if event.result is None:
            return
        self._finished += 1
        is_new = event.result.state in ("scored", "predicted", "proposed")
        what = event.result.score.answer if is_new and event.result.score else event.result.state
        typer.echo(f"{self._finished}/{self._n_images} {visible_name(event.name)}: {what}", err=True)


class _Tally:
    """Progress of a run by the expected work of its images: finished ones, and the finished share of those in work."""

    def __init__(self, work: Mapping[str, float]) -> None:
        self.n_images = len(work)
        self.finished = 0
        self.cells_done = 0
        self._work = dict(work)
        # {image: (share of its tiles done, cells so far)} of images in work; several at once with --workers.
        self._parts: dict[str, tuple[float, int]] = {}
        self._done = self._skipped = 0.0
        self._total = sum(work.values())
        self._start = time.monotonic()

    def take(self, event: JobEvent) -> None:
        if event.kind == "tiles" and event.total_tiles:
            self._parts[event.image] = (event.done_tiles / event.total_tiles, event.n_cells)
        elif event.result is not None:
            self._parts.pop(event.image, None)
            self.finished += 1
            # Images that were up to date took no time; their cells and work would inflate the rates.
            is_skipped = event.result.state == "up to date"
            self.cells_done += 0 if is_skipped else event.result.n_cells
            work = self._work.pop(event.image, 0.0)
            self._skipped += work if is_skipped else 0.0
            self._done += 0.0 if is_skipped else work

    @property
    def _done_now(self) -> float:
        return self._done + sum(
            share * self._work.get(image, 0.0) for image, (share, _) in self._parts.items()
        )

    @property
    def share(self) -> float:
        """Share of all work that is done, 0..1."""
        return (self._done_now + self._skipped) / self._total if self._total else 1.0

    @property
    def cells(self) -> int:
        return self.cells_done + sum(n_cells for _, n_cells in self._parts.values())

    @property
    def cells_per_s(self) -> float:
        return self.cells / max(1e-6, time.monotonic() - self._start)

    @property
    def seconds_left(self) -> float | None:
        # Shares of unfinished images count: with one large slide there would be no estimate until the end.
        done = self._done_now
        left = self._total - self._skipped - done
        return (time.monotonic() - self._start) * left / done if done > 0 else None


class JsonView(QuietView["JobEvent"]):
    """One JSON object per line on standard output, for the scripts inside QuPath and for other programs."""

    def __init__(self, work: Mapping[str, float]) -> None:
        self._tally = _Tally(work)

    def show(self, event: JobEvent) -> None:
        """Write the event as one line."""
        self._tally.take(event)
        fields: dict[str, Any] = {"event": event.kind, "image": event.image, "name": event.name}
        if event.kind == "tiles":
            fields |= {"done": event.done_tiles, "total": event.total_tiles, "cells": event.n_cells}
        if event.result is not None:
            score = event.result.score
            fields |= {"state": event.result.state, "score": score.score if score else None}
            fields |= {"reason": event.result.error or (score.reason if score else None)}
            fields |= {"cells": event.result.n_cells, "seconds": round(event.result.seconds, 3)}
            fields |= {"earlier": event.result.earlier, "is_current": event.result.is_current}
        left = self._tally.seconds_left
        fields |= {
            "images_done": self._tally.finished,
            "images": self._tally.n_images,
            "share": round(self._tally.share, 4),
            "seconds_left": None if left is None else round(left, 1),
        }
        say_json(**fields)


class BarView(FileBar["JobEvent"]):
    """A bar on standard error: images, cells, cells per second, time left."""

    def __init__(self, work: Mapping[str, float]) -> None:
        self._tally = _Tally(work)
        super().__init__("score  ", "images", "cells")

    def show(self, event: JobEvent) -> None:
        """Move the bar."""
        tally = self._tally
        tally.take(event)
        self._progress.update(
            self._task,
            completed=tally.share,
            images=f"{tally.finished}/{tally.n_images}",
            cells=f"{tally.cells:,} cells  {tally.cells_per_s:,.0f} cells/s",
            name=visible_name(event.name) if event.result is None else "",
        )
