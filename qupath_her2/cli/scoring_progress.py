"""Progress of a scoring run: a bar with the time left, one line per image, or JSON lines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import typer

from qupath_her2.cli.progress import progress_bar, say_json, wants_bar
from qupath_her2.project.visible_text import visible_name

if TYPE_CHECKING:
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


def progress_view(kind: ProgressKind, n_images: int) -> ProgressView:
    """Return the display that `kind` asks for; ``auto`` is a bar on a terminal and one line per image elsewhere."""
    if kind.value == "json":
        return JsonView(n_images)
    if kind.value == "off":
        return QuietView()
    return BarView(n_images) if wants_bar(kind) else LineView(n_images)


class QuietView:
    """Shows nothing."""

    def __enter__(self) -> QuietView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to tidy."""

    def show(self, event: JobEvent) -> None:
        """Take the event and show nothing."""


class LineView(QuietView):
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
    """Progress of a run: finished images, and the finished share of those in work."""

    def __init__(self, n_images: int) -> None:
        self.n_images = n_images
        self.finished = 0
        self.cells_done = 0
        # {image: (share of its tiles done, cells so far)} of images in work; several at once with --workers.
        self._parts: dict[str, tuple[float, int]] = {}
        self._start = time.monotonic()

    def take(self, event: JobEvent) -> None:
        if event.kind == "tiles" and event.total_tiles:
            self._parts[event.image] = (event.done_tiles / event.total_tiles, event.n_cells)
        elif event.result is not None:
            self._parts.pop(event.image, None)
            self.finished += 1
            # Cells of images that were up to date took no time and would inflate the rate.
            self.cells_done += event.result.n_cells if event.result.state != "up to date" else 0

    @property
    def images(self) -> float:
        return self.finished + sum(share for share, _ in self._parts.values())

    @property
    def cells(self) -> int:
        return self.cells_done + sum(n_cells for _, n_cells in self._parts.values())

    @property
    def cells_per_s(self) -> float:
        return self.cells / max(1e-6, time.monotonic() - self._start)

    @property
    def seconds_left(self) -> float | None:
        # Shares of unfinished images count: with one large slide there would be no estimate until the end.
        if self.images <= 0:
            return None
        return (time.monotonic() - self._start) * (self.n_images - self.images) / self.images


class JsonView(QuietView):
    """One JSON object per line on standard output, for the scripts inside QuPath and for other programs."""

    def __init__(self, n_images: int) -> None:
        self._tally = _Tally(n_images)

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
            "seconds_left": None if left is None else round(left, 1),
        }
        say_json(**fields)


class BarView(QuietView):
    """A bar on standard error: images, cells, cells per second, time left."""

    def __init__(self, n_images: int) -> None:
        self._tally = _Tally(n_images)
        self._progress = progress_bar("images", "cells", after="name")
        self._task = self._progress.add_task("score  ", total=n_images, images="", cells="", name="")

    def __enter__(self) -> BarView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar and leave it visible."""
        self._progress.update(self._task, name="")
        self._progress.stop()

    def show(self, event: JobEvent) -> None:
        """Move the bar."""
        tally = self._tally
        tally.take(event)
        self._progress.update(
            self._task,
            completed=tally.images,
            images=f"{tally.finished}/{tally.n_images}",
            cells=f"{tally.cells:,} cells  {tally.cells_per_s:,.0f} cells/s",
            name=visible_name(event.name) if event.result is None else "",
        )
