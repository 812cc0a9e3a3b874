"""Batches through a real Slurm of one node: submitted, watched, warned before the time limit, cancelled, gone on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qupath_her2.batch.journal import read_events
from qupath_her2.batch.plan import load_plan
from qupath_her2.batch.progress import progress_of
from qupath_her2.synthetic.example_project import write_field
from tests.helpers.slurm_node import slurm_commands
from tests.unit.cli.commands import call, summary

pytestmark = pytest.mark.slow

WAIT_S = 240


@pytest.fixture(scope="module", autouse=True)
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with slurm_commands(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    for number in range(4):
        write_field(
            folder, f"s{number}", score="3+", seed=310 + number, side_px=420, stroma=0.1, out_of_focus=0.0
        )
    return folder


def until(holds, what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.3)


def queued() -> str:
    return subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout


def array_number() -> str:
    """The number of the array; the job that writes the tables has another name."""
    words = ["squeue", "--noheader", "--name=qupath-her2", "--format=%F"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0]


def kinds(out: Path) -> list[str]:
    return [event["event"] for event in read_events(out)]


def test_an_array_is_submitted_watched_and_finished(study: Path) -> None:
    code, said, err = call("batch", study, "--executor", "slurm", "--array", 2, "--workers", 1)
    assert code == 0, err
    assert "planned 4 slides, about" in said
    assert "2 x 1 cores" in said
    assert f'qupath-her2 status "{study / "her2"}"' in said
    # The advice, as typed.
    assert call("status", study / "her2")[0] == 0
    until(lambda: not queued(), "the array did not end")
    assert [row["status"] for row in summary(study / "her2")] == ["scored"] * 4
    drivers = {event["executor"] for event in read_events(study / "her2") if event["event"] == "driver"}
    assert drivers == {"shard 1/2", "shard 2/2"}
    assert (study / "her2" / "cohort.html").is_file()
    # Everything is done: nothing is submitted again.
    code, said, _ = call("batch", study, "--executor", "slurm", "--array", 2)
    assert (code, queued()) == (0, "")
    assert "4 of them done" in said


def test_a_warned_task_finishes_its_image_and_is_run_again(study: Path) -> None:
    out = study / "her2"
    call("batch", study, "--executor", "slurm", "--array", 1, "--workers", 1)
    until(lambda: "started" in kinds(out), "nothing was begun")
    # What Slurm sends to the shell of the batch some minutes before the time limit.
    number = array_number()
    subprocess.run(["scancel", "--batch", "--signal=USR1", f"{number}_0"], check=True)
    until(lambda: "closed" in kinds(out), "the task did not end")
    first = kinds(out)
    assert first.count("started") == first.count("ended") == 1
    # The task is asked for again, waits a while (Slurm holds requeued jobs back for minutes), and goes on.
    subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], check=False)
    until(lambda: len({path.name for path in (out / "events").iterdir()}) >= 2, "the task was not run again")
    until(lambda: not queued(), "the array did not end")
    progress = progress_of(load_plan(out))
    assert progress.counts["done"] == 4
    ends = [event["image"] for event in read_events(out) if event["event"] == "ended"]
    assert len(ends) == len(set(ends)) == 4


def test_a_cancelled_array_leaves_nothing_and_the_same_command_goes_on(study: Path) -> None:
    out = study / "her2"
    call("batch", study, "--executor", "slurm", "--array", 2, "--workers", 1)
    until(lambda: "started" in kinds(out), "nothing was begun")
    subprocess.run(["scancel", "--user", "root"], check=True)
    until(lambda: not queued(), "the array did not end")
    until(lambda: not list(out.rglob("*.lock")), "a lock was left")
    assert not list(out.rglob("*.tmp"))
    code, _, err = call("batch", study, "--executor", "slurm", "--array", 2, "--workers", 1, "--wait")
    assert code == 0, err
    assert [row["status"] for row in summary(out)] == ["scored"] * 4
