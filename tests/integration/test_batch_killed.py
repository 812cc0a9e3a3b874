"""``kill -9`` of random workers and of the driver of a batch: no image lost, none scored twice, none half.

HER2_KILLS sets the number of kills, HER2_KILLED_SLIDES the number of slides.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from qupath_her2.batch.journal import read_events
from qupath_her2.batch.plan import load_plan
from qupath_her2.batch.progress import progress_of
from qupath_her2.batch.score_folder import score_folder
from qupath_her2.project.exchange.runs import current_run, validate_run
from tests.helpers.drawn_batch import draw_batch
from tests.unit.cli.commands import start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX"),
]
KILLS = int(os.environ.get("HER2_KILLS", "4"))
SLIDES = int(os.environ.get("HER2_KILLED_SLIDES", "12"))
#: Beyond this, something hangs.
MOST_S = 3000


def victims(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the driver and its workers; Python's helper that tracks resources is neither."""
    try:
        children = psutil.Process(driver.pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []
    return [psutil.Process(driver.pid), *workers]


def test_killed_at_random_moments_a_batch_comes_to_the_same_end(tmp_path: Path) -> None:
    study = tmp_path / "study"
    draw_batch(study, SLIDES, huge_px=700)
    moments = random.Random(17)
    kills: Counter[str] = Counter()
    began = time.monotonic()
    words = ("batch", study, "--workers", 2, "--progress", "off")
    driver = start(*words)
    while sum(kills.values()) < KILLS and time.monotonic() - began < MOST_S:
        time.sleep(moments.uniform(0.3, 4.0))
        if driver.poll() is not None:
            # It came to its end between two kills, and has to be as it should: the next one begins from nothing.
            out, err = driver.communicate()
            assert driver.returncode in (0, 3), (out, err)
            shutil.rmtree(study / "her2")
            driver = start(*words)
            continue
        found = victims(driver)
        if len(found) < 2:
            # Still planning, or between two workers.
            continue
        victim = moments.choice(found)
        kills["driver" if victim.pid == driver.pid else "worker"] += 1
        victim.kill()
        if victim.pid == driver.pid:
            driver.communicate(timeout=120)
            driver = start(*words)
    assert sum(kills.values()) == KILLS
    driver.communicate(timeout=MOST_S)
    for _ in range(2):
        # Slides whose workers were killed three times are set aside until they are asked for.
        done = start(*words, "--retry-failed")
        said, err = done.communicate(timeout=MOST_S)
        assert done.returncode in (0, 3), err
    check(study, tmp_path, said)


def check(study: Path, tmp_path: Path, said: str) -> None:
    plan = load_plan(study / "her2")
    progress = progress_of(plan)
    classes = progress.failures
    assert set(classes) <= {"unreadable"}, (classes, said)
    assert progress.counts["waiting"] == progress.counts["running"] == 0
    # None half: every result is whole, and nothing else is left.
    for job in plan.jobs:
        run = current_run(plan.out, job.image)
        assert run is not None, job.name
        validate_run(run)
    left = [path for path in plan.out.rglob("*") if path.name.endswith((".tmp", ".lock", ".takeover"))]
    assert left == []
    # None twice: under one plan an image is worked on to its end once; a lost event makes it up to date.
    ends = Counter(
        (event["image"], event["key"])
        for event in read_events(plan.out)
        if event["event"] == "ended" and event["state"] in ("scored", "not assessable")
    )
    assert max(ends.values()) == 1
    # None lost: the table is that of a run that nobody killed.
    (study / "her2").rename(tmp_path / "killed")
    score_folder(study)
    assert (tmp_path / "killed" / "summary.csv").read_bytes() == (study / "her2" / "summary.csv").read_bytes()
