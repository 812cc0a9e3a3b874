from __future__ import annotations

from pathlib import Path

from qupath_her2.batch.job import JobEvent
from qupath_her2.batch.journal import Journal, read_events
from qupath_her2.records import ImageResult
from tests.unit.batch.test_drive import SimulatedJob


def test_events_are_appended_with_class_and_cause(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {"a": "k1"}, "local")
    journal.started(SimulatedJob("a"))
    failed = ImageResult("a", "a.tif", "failed", error="gone", failure="storage", seconds=1.5)
    journal.ended(JobEvent("finished", "a", "a.tif", result=failed, peak_mb=300.4), "again")
    scored = ImageResult("a", "a.tif", "scored", n_cells=9, seconds=2.0, timings_s={"read": 0.25})
    journal.ended(JobEvent("finished", "a", "a.tif", result=scored), None)
    journal.closed("ended")
    events = list(read_events(tmp_path))
    assert [event["event"] for event in events] == ["driver", "started", "ended", "ended", "closed"]
    assert {
        name: events[2][name] for name in ("image", "key", "state", "class", "cause", "retry", "peak_mb")
    } == {
        "image": "a",
        "key": "k1",
        "state": "failed",
        "class": "storage",
        "cause": "gone",
        "retry": "again",
        "peak_mb": 300,
    }
    assert (events[3]["cells"], events[3]["steps"], events[3]["retry"]) == (9, {"read": 0.25}, None)


def test_drivers_have_files_of_their_own_and_half_a_line_does_not_count(tmp_path: Path) -> None:
    one, other = Journal(tmp_path, {}, "slurm 1/2"), Journal(tmp_path, {}, "slurm 2/2")
    assert one.path != other.path
    with one.path.open("ab") as file:
        file.write(b'{"event": "ended", "ima')
    one.started(SimulatedJob("a"))
    assert [event["event"] for event in read_events(tmp_path)] == ["driver", "started", "driver"]
    assert list(read_events(tmp_path / "none")) == []
