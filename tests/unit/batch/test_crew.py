from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

import pytest

from qupath_her2.batch import crew as crew_module
from qupath_her2.batch.crew import HereCrew
from qupath_her2.batch.job import JobEvent
from qupath_her2.records import ImageResult
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.score_image import failed_result
from qupath_her2.runs.types import Job


def test_this_process_does_one_image_and_drops_it_where_asked(project: Path) -> None:
    pale, strong = plan_jobs(project).jobs
    told: list[JobEvent] = []
    crew = HereCrew(tell=told.append)
    assert (crew.size(), crew.wait(0)) == (1, [])
    crew.give(pale)
    (end,) = crew.wait(0)
    assert end.result is not None
    assert end.result.state == "scored"
    assert [event.kind for event in told][:2] == ["started", "tiles"]
    crew.drop()
    crew.give(strong)
    (end,) = crew.wait(0)
    assert (end.kind, end.name) == ("dropped", "strong.ome.tif")
    assert not list((project / "her2" / "results").glob(f"{strong.image}*"))


def test_a_cancel_is_nobodys_drop(project: Path) -> None:
    def stop(event: JobEvent) -> None:
        raise KeyboardInterrupt

    crew = HereCrew(tell=stop)
    crew.give(plan_jobs(project).jobs[0])
    with pytest.raises(KeyboardInterrupt):
        crew.wait(0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupt_that_became_an_error_of_a_decoder_cancels(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(job: Job, **_: object) -> ImageResult:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return failed_result(job, "the decoder was interrupted")

    monkeypatch.setattr(crew_module, "perform", failed)
    crew = HereCrew()
    crew.give(plan_jobs(project).jobs[0])
    with pytest.raises(KeyboardInterrupt):
        crew.wait(0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
