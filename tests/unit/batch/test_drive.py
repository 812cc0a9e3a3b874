"""The driver, with a simulated crew whose images end as a script says."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from qupath_her2.batch import drive as driving
from qupath_her2.batch.drive import drive
from qupath_her2.batch.job import JobEvent
from qupath_her2.batch.journal import Journal, read_events
from qupath_her2.batch.stopping import Stop
from qupath_her2.records import ImageResult


@dataclass(frozen=True)
class SimulatedJob:
    image: str

    @property
    def name(self) -> str:
        return f"{self.image}.tif"


class SimulatedCrew:
    """Ends one image at a time as its script says: "" scored, else the class of its failure; ``hang`` never ends."""

    def __init__(self, size: int, **script: list[str]) -> None:
        self._size, self._script = size, script
        self.running: list[SimulatedJob] = []
        self.given: list[str] = []
        self.most = 0
        self.at_once: dict[int, int] = {}
        self.is_dropped = self.is_closed = False

    def size(self) -> int:
        return self._size

    def give(self, job: SimulatedJob, ahead: Path | None = None, *, alone: bool = False) -> None:
        self.running.append(job)
        self.given.append(job.image)
        self.most = max(self.most, len(self.running))
        self.at_once[len(self.given)] = len(self.running)

    def wait(self, timeout_s: float) -> list[JobEvent]:
        hanging = [job for job in self.running if (self._script.get(job.image) or [""])[0] == "hang"]
        if self.is_dropped and hanging:
            self.running.remove(hanging[0])
            return [JobEvent("dropped", hanging[0].image, hanging[0].name)]
        ready = [job for job in self.running if job not in hanging]
        if not ready:
            time.sleep(0.01)
            return []
        job = ready[0]
        self.running.remove(job)
        script = self._script.get(job.image) or [""]
        failure = script.pop(0)
        result = ImageResult(
            job.image, job.name, "failed" if failure else "scored", error=failure or None, failure=failure
        )
        return [JobEvent("finished", job.image, job.name, result=result)]

    def drop(self) -> None:
        self.is_dropped = True

    def close(self) -> None:
        self.is_closed = True


def jobs(names: str) -> list[SimulatedJob]:
    return [SimulatedJob(name) for name in names]


def ignore(event: JobEvent) -> None:
    pass


def test_every_image_ends_once_in_the_order_given() -> None:
    crew, told = SimulatedCrew(2), []
    results = drive(jobs("abcd"), crew, listen=told.append)
    assert crew.given == ["a", "b", "c", "d"]
    assert {image: result.state for image, result in results.items()} == dict.fromkeys("abcd", "scored")
    assert Counter(event.image for event in told) == Counter("abcd")
    assert (crew.most, crew.is_closed) == (2, True)


def test_a_transient_failure_is_tried_once_more_and_told_once() -> None:
    crew, told = SimulatedCrew(1, a=["storage", ""], b=["storage", "storage", ""], c=["unreadable"]), []
    results = drive(jobs("abc"), crew, listen=told.append)
    assert {image: result.failure for image, result in results.items()} == {
        "a": "",
        "b": "storage",
        "c": "unreadable",
    }
    assert Counter(crew.given) == Counter("aabbc")
    assert Counter(event.image for event in told) == Counter("abc")


def test_lack_of_memory_halves_the_load_and_then_leaves_the_image_alone() -> None:
    crew = SimulatedCrew(4, a=["memory", "memory", ""])
    results = drive(jobs("abcdefgh"), crew, listen=ignore)
    assert {result.state for result in results.values()} == {"scored"}
    # Four at first; after the first failure two, after the second one, and the last try alone at the end.
    assert crew.at_once[4] == 4
    assert crew.given[-1] == "a"
    assert crew.at_once[len(crew.given)] == 1


def test_images_of_others_are_waited_for_only_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "_BUSY_S", 0.01)
    crew = SimulatedCrew(1, a=["busy", "busy", "busy", ""])
    results = drive(jobs("ab"), crew, listen=ignore, busy="wait")
    assert results["a"].state == "scored"
    assert drive(jobs("ab"), SimulatedCrew(1, a=["busy"]), listen=ignore)["a"].failure == "busy"
    left = drive(jobs("ab"), SimulatedCrew(1, a=["busy"]), listen=ignore, busy="leave")
    assert set(left) == {"b"}


def test_what_another_driver_has_ended_is_not_begun() -> None:
    crew = SimulatedCrew(1)
    results = drive(jobs("abc"), crew, listen=ignore, is_done=lambda job: job.image == "b")
    assert set(results) == {"a", "c"}
    assert crew.given == ["a", "c"]


def test_a_run_that_is_to_end_finishes_or_drops_its_images(tmp_path: Path) -> None:
    stop, crew = Stop(), SimulatedCrew(2, a=["hang"])
    journal = Journal(tmp_path, {"a": "key"}, "simulated")

    def listen(event: JobEvent) -> None:
        # Asked to end when b is done; c must not begin.
        stop.finish(within_s=0.05)

    results = drive(jobs("abc"), crew, listen=listen, journal=journal, stop=stop)
    assert set(results) == {"b"}
    assert crew.given == ["a", "b"]
    assert [(event["event"], event.get("image")) for event in read_events(tmp_path)] == [
        ("driver", None),
        ("started", "a"),
        ("started", "b"),
        ("ended", "b"),
        ("dropped", "a"),
        ("closed", None),
    ]


def test_a_cancel_ends_the_crew(tmp_path: Path) -> None:
    crew = SimulatedCrew(1)

    def listen(event: JobEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(jobs("ab"), crew, listen=listen, journal=Journal(tmp_path, {}, "simulated"))
    assert crew.is_closed
    assert [event["event"] for event in read_events(tmp_path)][-1] == "closed"
