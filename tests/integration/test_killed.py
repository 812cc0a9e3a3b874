"""Killed at random moments of scoring and pushing: the user's objects are kept and the next command completes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from qupath_her2.project.exchange.cell_files import write_cells
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.runs import current_run, new_run, read_run
from qupath_her2.provenance import object_uuids
from tests.integration.conftest import Study, runs_java
from tests.integration.test_run import is_ours, theirs

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX"),
]
#: Saving this many copies takes long enough for a random kill to hit it.
COPIES = 80
#: Number of kills at random moments per command; HER2_KILLS sets another one.
KILLS = int(os.environ.get("HER2_KILLS", "4"))


def many_cells(her2: Path, image: str) -> int:
    """Give the image a run with `COPIES` slightly shifted copies of its cells; return their number."""
    run_dir = current_run(her2, image)
    assert run_dir is not None
    record, cells, _ = read_run(run_dir)
    assert cells is not None
    n = COPIES * len(cells)
    run_hash = hashlib.sha256(b"many").hexdigest()
    shifts = np.linspace(0, 3, COPIES, dtype=np.float32)
    table = dataclasses.replace(
        cells,
        uuid=object_uuids(run_hash, n),
        **{
            name: np.concatenate([getattr(cells, name) + shift for shift in shifts])
            for name in ("centroid_xy", "cell_xy", "nucleus_xy")
        },
        **{
            f"{part}_offsets": np.concatenate(
                [[0], np.cumsum(np.tile(np.diff(getattr(cells, f"{part}_offsets")), COPIES))]
            )
            for part in ("cell", "nucleus")
        },
        **{
            name: np.concatenate([getattr(cells, name)] * COPIES)
            for name in ("region", "measurements", "cell_class")
        },
    )
    with lock_image(her2, image) as lock, new_run(lock, run_hash) as writer:
        for name in ("regions.geojson", "score.json"):
            writer.write(name, (run_dir / name).read_bytes())
        with writer.open("cells.npz") as file:
            write_cells(file, table)
        writer.finish(
            dataclasses.replace(
                record, input_hash=run_hash, files={}, sizes={}, counts={**record.counts, "cells": n}
            )
        )
    return n


def kill_within(study: Study, seconds: float, words: tuple[str, ...], *, java: bool) -> bool:
    """Start a command and, after some time, kill it with its descendants, or the Java process alone.

    Returns whether it was still running.
    """
    running = subprocess.Popen(
        study.command(*words),
        env=study.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + seconds
    while time.monotonic() < end and running.poll() is None:
        time.sleep(0.01)
    met = running.poll() is None
    children = psutil.Process(running.pid).children(recursive=True) if met else []
    # While it scores there is no Java process to kill.
    java = java and any(runs_java(child) for child in children)
    for process in children if java else [*children, running]:
        process.kill()
    running.wait(60)
    psutil.wait_procs(children, timeout=60)
    return met


def test_push_killed_at_random_moments(field: Study) -> None:
    before = {image["entry"]: theirs(image["objects"]) for image in field.look()}
    field.her2("pull", str(field.project), "--images", "plain*")
    field.her2("run", str(field.project), "--images", "plain*", "--no-qupath")
    her2 = field.folder / "her2"
    n = many_cells(her2, "1_plain")
    regions = (her2 / "regions" / "1_plain.geojson").read_bytes()
    start = time.monotonic()
    field.her2("push", str(field.project), "--dry-run")
    whole = time.monotonic() - start
    moments = random.Random(field.qupath.version)
    for i in range(KILLS):
        words = ("push", str(field.project))
        kill_within(field, moments.uniform(0.5, 1.3) * whole, words, java=i % 2 == 0)
        # The project opens, nothing is refused, and the exported regions are the same bytes.
        done = field.her2("pull", str(field.project), "--images", "plain*")
        assert "refused" not in done.stdout
        assert (her2 / "regions" / "1_plain.geojson").read_bytes() == regions
    # The last kill may have come after the end.
    done = field.her2("push", str(field.project), "--force")
    assert f"{n:,} cells into 1 image" in done.stdout
    after = {image["entry"]: image for image in field.look()}
    assert {entry: theirs(image["objects"]) for entry, image in after.items()} == before
    assert sum(is_ours(o) for o in after["1"]["objects"]) == n
    assert after["1"]["metadata"]["HER2 score"] == "3+"


def test_run_killed_at_random_moments(field: Study) -> None:
    """Each time the next run completes, and the score is in the project."""
    before = {image["entry"]: theirs(image["objects"]) for image in field.look()}
    data, her2 = field.folder / "data" / "1" / "data.qpdata", field.folder / "her2"
    words = ("run", str(field.project), "--images", "plain*")
    start = time.monotonic()
    field.her2(*words)
    whole = time.monotonic() - start
    regions = (her2 / "regions" / "1_plain.geojson").read_bytes()
    n = len(read_run_cells(her2))
    moments = random.Random(f"run {field.qupath.version}")
    met = 0
    for i in range(3 * KILLS):
        if met == KILLS:
            break
        # Another run each time, for an image with or without an earlier result.
        again = (*words, "--force", "--pixel-size-um", f"{0.5 + 0.0003 * i:.4f}")
        moment = moments.uniform(0.05, 1.0) * whole
        if kill_within(field, moment, again, java=i % 3 == 0):
            met += 1
        else:
            # The first run took longer: it compiled its loops, or the machine was busier.
            whole = moment
        done = field.her2(*words)
        assert "refused" not in done.stdout, (i, done.stdout)
        assert (her2 / "regions" / "1_plain.geojson").read_bytes() == regions
        assert not data.with_name("data.qpdata.her2-previous").exists()
    after = {image["entry"]: image for image in field.look()}
    assert {entry: theirs(image["objects"]) for entry, image in after.items()} == before
    assert sum(is_ours(o) for o in after["1"]["objects"]) == n
    assert after["1"]["metadata"]["HER2 score"] == "3+"
    left = [path.name for path in (her2 / "results").rglob("*") if path.name.endswith((".tmp", ".lock"))]
    assert left == []
    assert met == KILLS


def read_run_cells(her2: Path) -> np.ndarray:
    """UUIDs of the cells of the first image's run."""
    run_dir = current_run(her2, "1_plain")
    assert run_dir is not None
    _, cells, _ = read_run(run_dir)
    assert cells is not None
    return cells.uuid
