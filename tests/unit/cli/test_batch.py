"""``batch`` and ``status`` as typed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qupath_her2.batch.journal import read_events
from tests.unit.cli.commands import call, start, summary

if TYPE_CHECKING:
    from qupath_her2.training.types import TrainedNetwork


def test_plan_batch_and_status(project: Path) -> None:
    (project / "broken.svs").write_bytes(b"II*\0no slide")
    code, said, err = call("batch", project, "--dry-run")
    assert code == 0, err
    assert "planned 3 slides (1 unreadable, listed in" in said
    assert "unreadable.csv" in said
    assert not (project / "her2" / "results").exists()
    code, said, _ = call("status", project)
    # One cannot be read: a failure that is known before anything is begun.
    assert code == 3
    assert "0 done · 0 not assessable · 1 failed (1 unreadable) · 2 waiting" in said
    code, said, err = call("batch", project, "--workers", 2)
    assert code == 3, err
    assert "2 done · 0 not assessable · 1 failed (1 unreadable)" in said
    assert {row["image"]: row["status"] for row in summary(project / "her2")} == {
        "broken.svs": "failed",
        "pale.ome.tif": "scored",
        "strong.ome.tif": "scored",
    }
    code, said, _ = call("status", project / "her2", "--progress", "json")
    found = json.loads(said)
    assert (code, found["counts"]["done"], found["failures"]) == (3, 2, {"unreadable": 1})
    assert set(found["steps_s"]) == {"read", "infer", "cells", "write", "other"}
    # Again: nothing is begun, and the tables are the same.
    before = (project / "her2" / "summary.csv").read_bytes()
    n = len(list(read_events(project / "her2")))
    code, said, _ = call("batch", project)
    assert (code, "2 of them done" in said) == (3, True)
    assert len(list(read_events(project / "her2"))) == n
    assert (project / "her2" / "summary.csv").read_bytes() == before


def test_shards_need_a_plan_and_finish_writes_the_tables(project: Path) -> None:
    code, _, err = call("batch", project, "--shard", "1/2")
    assert code == 1
    assert "Plan first: qupath-her2 batch FOLDER --dry-run" in err
    call("batch", project, "--dry-run")
    code, said, err = call("batch", project, "--shard", "1/2")
    assert (code, said) == (0, ""), err
    assert not (project / "her2" / "summary.csv").exists()
    code, said, _ = call("batch", project, "--finish")
    assert code == 0
    assert len(summary(project / "her2")) == 2
    code, _, err = call("batch", project, "--shard", "3/2")
    assert code == 2
    assert "3/40" in err


def test_finishing_before_the_end_lists_what_is_missing(project: Path) -> None:
    call("batch", project, "--dry-run")
    code, said, _ = call("batch", project, "--finish")
    assert code == 3
    assert "2 waiting" in said
    assert {row["status"] for row in summary(project / "her2")} == {"failed"}


def test_a_network_must_be_named_for_predictions(project: Path) -> None:
    code, _, err = call("batch", project, "--what", "predict")
    assert code == 1
    assert "pass --model CKPT" in err
    # What was planned is finished without it.
    code, _, err = call("batch", project, "--what", "predict", "--finish")
    assert code == 1
    assert "has no plan of a batch" in err


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM is POSIX")
@pytest.mark.parametrize("sent", ["SIGTERM", "SIGUSR1"])
def test_a_signal_ends_a_batch_in_order(project: Path, sent: str) -> None:
    running = start("batch", project, "--progress", "off")
    events = project / "her2"
    end = time.monotonic() + 120
    while not any(event["event"] == "started" for event in read_events(events)) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(running.pid, getattr(signal, sent))
    _, err = running.communicate(timeout=300)
    assert running.returncode == 130, err
    assert "run the same command again to go on" in err
    kinds = [event["event"] for event in read_events(events)]
    assert kinds[-1] == "closed"
    # Dropped at its next tile, or finished; the second image was not begun.
    assert kinds.count("started") == 1
    assert kinds[-2] == {"SIGTERM": "dropped", "SIGUSR1": "ended"}[sent]
    assert not [path for path in events.rglob("*") if path.name.endswith((".lock", ".tmp"))]
    code, said, _ = call("batch", project)
    assert (code, "2 done" in said) == (0, True)


@pytest.mark.slow
def test_predictions_go_the_same_way(
    count_study: Path, count_network: TrainedNetwork, tmp_path: Path
) -> None:
    out = tmp_path / "her2"
    words = ("batch", count_study, "--what", "predict", "--model", count_network.checkpoint, "--out", out)
    code, said, err = call(*words)
    assert code == 0, err
    n = len(list(count_study.glob("*.png")) or list(count_study.glob("*.tif*")))
    assert f"planned {n} slides" in said
    rows = summary(out / "predictions")
    assert {row["status"] for row in rows} == {"predicted"}
    assert (out / "predictions" / "predictions.csv").is_file()
    assert "predicted" in (out / "predictions" / "cohort.csv").read_text(encoding="utf-8-sig")
    code, said, _ = call(*words)
    assert (code, f"{n} of them done" in said) == (0, True)
