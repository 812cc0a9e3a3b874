"""Progress of a scoring run: bar, JSON lines, one line per image, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qupath_her2.batch.job import JobEvent
from qupath_her2.cli.scoring import show_table
from qupath_her2.cli.scoring_progress import BarView, LineView
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


def test_a_name_writes_nothing_else_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2J\nb\u202egpj.exe[/].png"
    result = ImageResult(image="1_a", name=name, state="failed")
    event = JobEvent(kind="finished", image="1_a", name=name, result=result)
    LineView(1).show(event)
    assert capsys.readouterr().err == "1/1 a\\x1b[2J\\nb\\u202egpj.exe[/].png: failed\n"
    with BarView(1) as view:
        view.show(event)
    show_table([result])
    captured = capsys.readouterr()
    assert "a\\x1b[2J\\nb\\u202egpj.exe[/].png" in captured.out
    assert "\x1b[2J" not in captured.out + captured.err
