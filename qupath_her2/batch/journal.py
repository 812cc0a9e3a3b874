"""Event files of a batch: each driver appends to a file of its own, and nobody ever changes a line.

``OUT/events/<host>-<pid>-<time>.jsonl``: one JSON object a line, with the time ``t`` in seconds since 1970. There is no
table that several processes would rewrite; who wants one folds the events (`batch.progress`).
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.project.exchange.appending import append_lines, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qupath_her2.batch.job import JobEvent
    from qupath_her2.batch.retries import Retry
    from qupath_her2.records import ImageResult
    from qupath_her2.runs.types import Job

__all__ = ["EVENTS", "Journal", "read_events"]

#: Folder of the event files in the output folder.
EVENTS = "events"


class Journal:
    """The event file of one driver.

    Parameters
    ----------
    out
        The output folder of the batch.
    keys
        {image: key of its planned job}; an event counts as long as the plan has the same key.
    executor
        Name of the executor, with the number of its task if it has several.
    """

    def __init__(self, out: Path, keys: dict[str, str], executor: str) -> None:
        name = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.jsonl"
        self.path = out / EVENTS / name
        self._keys = keys
        self._write("driver", executor=executor, host=socket.gethostname(), pid=os.getpid())

    def started(self, job: Job) -> None:
        """Write that an image was given to a worker."""
        self._write("started", image=job.image, key=self._keys.get(job.image, ""))

    def ended(self, event: JobEvent, retry: Retry | None) -> None:
        """Write what became of an image, and whether it is tried again."""
        result = event.result
        assert result is not None
        self._write(
            "ended",
            image=result.image,
            key=self._keys.get(result.image, ""),
            retry=retry,
            **_outcome(result),
            peak_mb=round(event.peak_mb),
        )

    def dropped(self, image: str) -> None:
        """Write that an image was given up because the run is to end."""
        self._write("dropped", image=image, key=self._keys.get(image, ""))

    def set_back(self, image: str) -> None:
        """Write that an image that failed is to be tried again, whatever was tried before."""
        self._write("set back", image=image, key=self._keys.get(image, ""))

    def closed(self, why: str) -> None:
        """Write that this driver ends, and why."""
        self._write("closed", why=why)

    def _write(self, kind: str, **fields: Any) -> None:
        line = {"t": round(time.time(), 3), "event": kind, **fields}
        append_lines(self.path, [orjson.dumps(line)])


def _outcome(result: ImageResult) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "state": result.state,
        "seconds": round(result.seconds, 3),
        "cells": result.n_cells,
        "steps": {name: round(value, 3) for name, value in result.timings_s.items()},
    }
    if result.state == "failed":
        fields |= {"class": result.failure or "unexpected", "cause": result.error}
    if result.score is not None:
        fields |= {"score": result.score.score, "refusal": result.score.refusal_code}
    return fields


def read_events(out: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of all drivers of a batch, each file in its order.

    The end of a line that a killed driver did not write to its end is left out: the image counts as not ended.
    """
    folder = out / EVENTS
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        for line in read_lines(path):
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(event, dict):
                yield event
