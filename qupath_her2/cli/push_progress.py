"""Progress of a push: a bar with the time left, one line per image, or JSON lines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer

from qupath_her2.cli.progress import FileBar, QuietView, say_json, wants_bar
from qupath_her2.project.visible_text import visible_name

if TYPE_CHECKING:
    from qupath_her2.cli.options import ProgressKind

__all__ = ["PushView", "push_view"]

#: Shows the events of `project.qupath.push.push`.
PushView = QuietView[dict[str, Any]]


def push_view(kind: ProgressKind) -> PushView:
    """Return the display that `kind` asks for; ``auto`` is a bar on a terminal and one line per image elsewhere."""
    if kind.value == "json":
        return _JsonView()
    if kind.value == "off":
        return QuietView()
    return _BarView() if wants_bar(kind) else _LineView()


class _LineView(PushView):
    """One line on standard error per image that is done, for log files."""

    def show(self, event: dict[str, Any]) -> None:
        if event["event"] == "image":
            name = visible_name(str(event.get("name", "")))
            typer.echo(f"{event['images_done']}/{event['images']} {name}: {event['state']}", err=True)


class _JsonView(PushView):
    """One JSON object per line on standard output."""

    def __init__(self) -> None:
        self._start: float | None = None

    def show(self, event: dict[str, Any]) -> None:
        # The start of QuPath is over by the first event, and says nothing about the images.
        now = time.monotonic()
        self._start = self._start or now
        share = event["share"]
        left = (now - self._start) * (1 - share) / share if share else None
        fields = {**event, "event": f"push {event['event']}"}
        say_json(**fields, seconds_left=None if left is None else round(left, 1))


class _BarView(FileBar[dict[str, Any]]):
    """A bar on standard error, which appears when QuPath has started: images, time left, the image in work."""

    def __init__(self) -> None:
        super().__init__("push   ", "images", is_timed=False, name="QuPath starts")

    def show(self, event: dict[str, Any]) -> None:
        self._progress.start_task(self._task)
        self._progress.update(
            self._task,
            completed=event["share"],
            images=f"{event['images_done']}/{event['images']}",
            name=visible_name(str(event.get("name", ""))) if event["event"] == "started" else "",
        )
