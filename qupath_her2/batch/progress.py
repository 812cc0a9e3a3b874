"""Progress of a batch, folded from its plan and its event files; nothing is kept in memory between two looks."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qupath_her2.batch.journal import read_events
from qupath_her2.project.exchange.locks import is_locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qupath_her2.batch.manifest import ManifestRow
    from qupath_her2.batch.plan import BatchPlan

__all__ = ["MOST_STARTS", "Outcome", "Progress", "fold_events", "progress_of"]

#: Starts without an end after which an image is set aside: it may take its machine down each time.
MOST_STARTS = 5
#: The rate of the last so many seconds is that of now; workers may have been added.
_RECENT_S = 1800.0
_UP_TO_DATE = "up to date"


@dataclass(slots=True)
class Outcome:
    """What became of one image so far.

    Attributes
    ----------
    state
        State of its last result, ``""`` before there is one. A failed try that is repeated is no result.
    failure, cause
        Class and message of its last failed try.
    tries
        Failed tries.
    starts
        Starts since its last end that have not ended.
    started_at, ended_at
        Seconds since 1970; None before.
    seconds, cells, peak_mb, steps, score, refusal
        Of its result.
    """

    state: str = ""
    failure: str = ""
    cause: str = ""
    tries: int = 0
    starts: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    seconds: float = 0.0
    cells: int = 0
    peak_mb: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    score: str | None = None
    refusal: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether the image is not to be tried again."""
        return bool(self.state)

    @property
    def is_failed(self) -> bool:
        """Whether it was set aside without a result."""
        return self.state == "failed"

    @property
    def is_refused(self) -> bool:
        """Whether its result is that it is not assessable."""
        return not self.is_failed and self.refusal is not None


def fold_events(keys: Mapping[str, str], events: Iterable[Mapping[str, Any]]) -> dict[str, Outcome]:
    """Return what became of each image of a plan.

    Parameters
    ----------
    keys
        {image: key of its job}; events of another key are of other settings, regions or pixels.
    events
        In the order of each driver's file.

    Returns
    -------
    dict[str, Outcome]
        Of every image of the plan.
    """
    outcomes = {image: Outcome() for image in keys}
    # Drivers write files of their own; by time they are one story.
    for event in sorted(events, key=lambda event: event.get("t", 0.0)):
        image = event.get("image")
        if image in outcomes and event.get("key") == keys[image]:
            _take(outcomes[image], event)
    for outcome in outcomes.values():
        if outcome.starts >= MOST_STARTS and not outcome.state:
            outcome.state, outcome.failure = "failed", "endless"
            outcome.cause = (
                f"Begun {outcome.starts} times and never ended: its workers were killed, or took their machine down. "
                "Look at the slide, then try again with --retry-failed."
            )
    return outcomes


def _take(outcome: Outcome, event: Mapping[str, Any]) -> None:
    kind = event["event"]
    if kind == "started":
        outcome.starts += 1
        outcome.started_at = event["t"]
    elif kind == "dropped":
        outcome.starts = max(0, outcome.starts - 1)
    elif kind == "set back":
        outcome.state, outcome.tries, outcome.starts = "", 0, 0
    elif kind == "ended":
        outcome.starts, outcome.ended_at = 0, event["t"]
        is_failed = event["state"] == "failed"
        outcome.tries += is_failed
        outcome.failure, outcome.cause = event.get("class", ""), event.get("cause", "")
        # A result stays one, whatever a later look at it says.
        if is_failed and event.get("retry"):
            return
        if event["state"] == _UP_TO_DATE and outcome.state not in ("", "failed"):
            return
        outcome.state = event["state"]
        outcome.seconds, outcome.cells = event.get("seconds", 0.0), event.get("cells", 0)
        outcome.steps, outcome.peak_mb = event.get("steps", {}), event.get("peak_mb", 0.0)
        outcome.score, outcome.refusal = event.get("score"), event.get("refusal")


@dataclass(frozen=True, slots=True)
class Progress:
    """A batch at one moment.

    Attributes
    ----------
    outcomes
        Of every readable image.
    running
        Images that live workers hold.
    n_unreadable
        Images that cannot be read.
    done_s, left_s
        Expected work of the images that ended, and of the others, s of one worker.
    slides_per_h
        Images that ended in an hour, by the last half hour; 0 before any has ended.
    seconds_left
        Until the last image ends, by the rate at which work was done; None before any has ended.
    steps_s
        {step: seconds of all workers}.
    peak_mb
        The most memory that a worker ever had, MB.
    """

    outcomes: dict[str, Outcome]
    running: tuple[str, ...]
    n_unreadable: int
    done_s: float
    left_s: float
    slides_per_h: float
    seconds_left: float | None
    steps_s: dict[str, float]
    peak_mb: float

    @property
    def counts(self) -> Counter[str]:
        """Images that are ``done``, ``not assessable``, ``failed``, ``running`` and ``waiting``."""
        counts = Counter({"running": len(self.running)})
        for image, outcome in self.outcomes.items():
            if outcome.is_failed:
                counts["failed"] += 1
            elif outcome.is_final:
                counts["not assessable" if outcome.is_refused else "done"] += 1
            elif image not in self.running:
                counts["waiting"] += 1
        counts["failed"] += self.n_unreadable
        return counts

    @property
    def failures(self) -> Counter[str]:
        """{class of failure: images}, unreadable ones included."""
        classes = Counter(one.failure for one in self.outcomes.values() if one.is_failed)
        if self.n_unreadable:
            classes["unreadable"] += self.n_unreadable
        return classes

    @property
    def n_retried(self) -> int:
        """Images that failed once and have a result now."""
        return sum(one.tries > 0 and one.is_final and not one.is_failed for one in self.outcomes.values())


def progress_of(plan: BatchPlan, *, now: float | None = None, looks_at_locks: bool = True) -> Progress:
    """Return the progress of a batch.

    Parameters
    ----------
    plan
        From `batch.plan.load_plan`.
    now
        Seconds since 1970; None for this moment.
    looks_at_locks
        Ask the locks which of the begun images are still worked on; otherwise all count as running.

    Returns
    -------
    Progress
        At this moment.
    """
    now = time.time() if now is None else now
    rows = [row for row in plan.rows if not row.is_unreadable]
    outcomes = fold_events({row.ref.id: row.key for row in rows}, read_events(plan.out))
    begun = (image for image, one in outcomes.items() if one.starts and not one.is_final)
    running = tuple(image for image in begun if not looks_at_locks or is_locked(plan.out, image))
    done_s = sum(row.expected_s for row in rows if outcomes[row.ref.id].is_final)
    left_s = sum(row.expected_s for row in rows) - done_s
    n_per_h, work_rate = _rates(rows, outcomes, now)
    steps: Counter[str] = Counter()
    for outcome in outcomes.values():
        steps.update(step_seconds(outcome))
    return Progress(
        outcomes=outcomes,
        running=running,
        n_unreadable=len(plan.rows) - len(rows),
        done_s=done_s,
        left_s=left_s,
        slides_per_h=n_per_h,
        seconds_left=left_s / work_rate if work_rate else None,
        steps_s=dict(steps),
        peak_mb=max((one.peak_mb for one in outcomes.values()), default=0.0),
    )


def step_seconds(outcome: Outcome) -> dict[str, float]:
    """Return {step: seconds} of an image: reading, inference or cells without it, writing, and the rest."""
    if not outcome.steps:
        return {}
    steps = dict(outcome.steps)
    read, write = steps.pop("read", 0.0), steps.pop("write", 0.0)
    infer = steps.pop("network", 0.0)
    measured = sum(steps.values())
    # Tiles are read within the step that measures them.
    within = min(read, infer + measured)
    parts = {"read": read, "infer": max(0.0, infer - within) if infer else 0.0, "write": write}
    parts["cells"] = max(0.0, measured - (0.0 if infer else within))
    return parts | {"other": max(0.0, outcome.seconds - sum(parts.values()))}


def _rates(rows: Iterable[ManifestRow], outcomes: Mapping[str, Outcome], now: float) -> tuple[float, float]:
    """Return slides per hour, and expected seconds of work done per second, of the recent past."""
    ended = [
        (outcome.ended_at, row.expected_s)
        for row in rows
        for outcome in (outcomes[row.ref.id],)
        if outcome.ended_at is not None and outcome.is_final and outcome.state != _UP_TO_DATE
    ]
    if not ended:
        return 0.0, 0.0
    last = max(at for at, _ in ended)
    begun = min((one.started_at for one in outcomes.values() if one.started_at is not None), default=last)
    # Measured up to now while the batch runs, and up to its last end when it is over.
    until = now if now - last < _RECENT_S else last
    since = max(begun, until - _RECENT_S)
    recent = [work for at, work in ended if at >= since]
    span = max(1.0, until - since)
    return 3600 * len(recent) / span, sum(recent) / span
