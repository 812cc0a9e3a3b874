"""Progress of a push: bar, JSON lines, one line per image, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qupath_her2.cli import push_progress
from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.push_progress import push_view

EVENTS: tuple[dict[str, Any], ...] = (
    {"event": "started", "image": "1", "name": "a\x1b[2J.svs", "images_done": 0, "images": 2, "share": 0.0},
    {
        "event": "image",
        "image": "1",
        "name": "a\x1b[2J.svs",
        "state": "pushed",
        "images_done": 1,
        "images": 2,
        "share": 0.25,
    },
)


def shown(kind: ProgressKind, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    with push_view(kind) as view:
        for event in EVENTS:
            view.show(event)
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_line_per_image_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(ProgressKind.auto, capsys) == ("", "1/2 a\\x1b[2J.svs: pushed\n")


def test_nothing_is_said_where_progress_is_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(ProgressKind.off, capsys) == ("", "")


def test_json_lines_tell_the_time_left_by_the_work_that_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter((100.0, 102.0))
    monkeypatch.setattr(push_progress.time, "monotonic", lambda: next(moments))
    out, _ = shown(ProgressKind.json, capsys)
    first, second = (json.loads(line) for line in out.splitlines())
    assert (first["event"], first["seconds_left"]) == ("push started", None)
    # A quarter took 2 s, so that three quarters are left for 6 s.
    assert (second["event"], second["state"], second["seconds_left"]) == ("push image", "pushed", 6.0)


def test_a_bar_shows_how_many_images_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = shown(ProgressKind.bar, capsys)
    assert out == ""
    assert "1/2" in err
    assert "\x1b[2J" not in err
