"""Progress of a scoring run: bar, JSON lines, one line per image, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qupath_her2.batch.job import JobEvent
from qupath_her2.cli import scoring_progress
from qupath_her2.cli.scoring import show_table
from qupath_her2.cli.scoring_progress import BarView, JsonView, LineView
from qupath_her2.records import ImageResult
from tests.unit.cli.commands import call


def test_json_lines_tell_the_same_to_programs(project: Path) -> None:
    code, out, _ = call("run", project, "--progress", "json")
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["event"] for e in events].count("finished") == 2
    assert events[0]["event"] == "started"
    last = events[-1]
    assert (last["event"], last["exit"], last["counts"]) == ("done", 0, {"scored": 2})
    assert Path(last["report"]).is_file()
    strong = next(e for e in events if e["event"] == "finished" and e["name"] == "strong.ome.tif")
    assert (strong["state"], strong["score"]) == ("scored", "3+")
    assert any(e["event"] == "tiles" and e["seconds_left"] is not None for e in events)


def test_a_bar_shows_images_cells_and_the_time_left(project: Path) -> None:
    code, out, err = call("run", project, "--progress", "bar")
    assert code == 0
    assert "2/2" in err
    assert "cells/s" in err
    assert "score" in err
    assert "2 scored" in out


def test_progress_off_says_nothing_on_the_way(project: Path) -> None:
    assert call("run", project, "--progress", "off")[2] == ""


def test_share_and_time_left_go_by_the_work_and_not_by_the_number_of_images(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(scoring_progress.time, "monotonic", lambda: now[0])

    def told(event: JobEvent, at_s: float) -> tuple[float, float | None]:
        now[0] = 100.0 + at_s
        view.show(event)
        fields = json.loads(capsys.readouterr().out)
        return fields["share"], fields["seconds_left"]

    def end(image: str, state: str) -> JobEvent:
        result = ImageResult(image=image, name=image, state=state)  # type: ignore[arg-type]
        return JobEvent("finished", image, image, result=result)

    view = JsonView({"old": 5.0, "large": 8.0, "small": 2.0})
    assert told(end("old", "up to date"), 0.1) == (pytest.approx(5 / 15, abs=1e-4), None)
    # A quarter of 8 s took 4 s, so that what is left, another 8 s, takes 16 s.
    assert told(JobEvent("tiles", "large", "large", 1, 4, 9), 4.0) == (pytest.approx(7 / 15, abs=1e-4), 16.0)
    assert told(end("large", "scored"), 16.0) == (pytest.approx(13 / 15, abs=1e-4), 4.0)
    assert told(end("small", "failed"), 20.0) == (1.0, 0.0)


def test_a_name_writes_nothing_else_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2J\nb\u202egpj.exe[/].png"
    result = ImageResult(image="1_a", name=name, state="failed")
    event = JobEvent(kind="finished", image="1_a", name=name, result=result)
    LineView(1).show(event)
    assert capsys.readouterr().err == "1/1 a\\x1b[2J\\nb\\u202egpj.exe[/].png: failed\n"
    with BarView({"1_a": 1.0}) as view:
        view.show(event)
    show_table([result])
    captured = capsys.readouterr()
    assert "a\\x1b[2J\\nb\\u202egpj.exe[/].png" in captured.out
    assert "\x1b[2J" not in captured.out + captured.err
