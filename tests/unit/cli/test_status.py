from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.cli.commands import call

verb = sys.modules["qupath_her2.cli.status"]


def test_watching_ends_with_the_batch(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "_WATCH_S", 0.0)
    call("batch", project, "--dry-run")
    looks: list[int] = []

    def work_meanwhile(seconds: float) -> None:
        looks.append(1)
        call("batch", project, "--shard", "1/1")

    monkeypatch.setattr(verb.time, "sleep", work_meanwhile)
    code, said, _ = call("status", project, "--watch")
    assert (code, len(looks)) == (0, 1)
    first, *_, last = said.splitlines()
    assert "2 waiting" in first
    assert last.startswith("time    ")
    assert "2 done" in said


def test_a_folder_without_a_batch_says_what_to_do(tmp_path: Path) -> None:
    code, _, err = call("status", tmp_path)
    assert code == 1
    assert "has no plan of a batch" in err
