"""Batches of drawn slides by each executor: same table, efficiency, overhead per slide, memory.

``python -m tests.benchmarks.batch [--slides 200] [--executors local slurm ray] [--folder DIR]``. Prints figures and
asserts none; the tables are compared byte by byte.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qupath_her2.batch.executor import Executor, LocalExecutor
from qupath_her2.batch.finish import finish_batch
from qupath_her2.batch.job import perform
from qupath_her2.batch.journal import read_events
from qupath_her2.batch.progress import progress_of
from qupath_her2.batch.run_batch import plan_batch, run_batch
from qupath_her2.config import Settings
from qupath_her2.runs.options import RunOptions
from tests.helpers.drawn_batch import draw_batch
from tests.helpers.slurm_node import missing_part, slurm_node


def cpu_s() -> float:
    """CPU seconds of this process and of its children that ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


@contextlib.contextmanager
def executor_of(name: str, study: Path, workers: int) -> Iterator[Executor]:
    """Yield an executor, with the cluster that it needs."""
    if name == "slurm":
        from qupath_her2.batch.slurm import SlurmExecutor

        why = missing_part()
        if why:
            raise SystemExit(f"Slurm: {why}")
        with tempfile.TemporaryDirectory() as place, slurm_node(Path(place)) as environment:
            os.environ.update({key: environment[key] for key in ("SLURM_CONF", "PATH")})
            flags = ("--out", str(study / "her2"), "--what", "score")
            yield SlurmExecutor(study, tasks=workers, waits=True, flags=flags)
    elif name == "ray":
        from qupath_her2.batch.ray_crew import RayExecutor

        yield RayExecutor(workers)
    else:
        yield LocalExecutor(workers)


def measure(name: str, study: Path, workers: int) -> dict[str, Any]:
    """Run a batch from nothing to its tables, and return its figures."""
    shutil.rmtree(study / "her2", ignore_errors=True)
    began, cpu = time.monotonic(), cpu_s()
    plan = plan_batch(study, RunOptions(), Settings(), threads=workers)
    planned = time.monotonic()
    with executor_of(name, study, workers) as executor:
        started = time.monotonic()
        run_batch(plan, executor)
        ended = time.monotonic()
    progress = progress_of(plan)
    finish_batch(plan, progress)
    finished = time.monotonic()
    events = list(read_events(plan.out))
    return {
        "slides": len(plan.rows),
        "counts": dict(+progress.counts),
        "plan_s": planned - began,
        "run_s": ended - started,
        "finish_s": finished - ended,
        "cpu_s": cpu_s() - cpu,
        "busy_s": sum(event["seconds"] for event in events if event["event"] == "ended"),
        "gap_s": gaps(events),
        "peak_mb": progress.peak_mb,
        "sha256": hashlib.sha256((plan.out / "summary.csv").read_bytes()).hexdigest(),
    }


def gaps(events: list[dict[str, Any]]) -> list[float]:
    """Time from the start of an image (given to a worker) to its end that the image itself did not take, s."""
    begun = {event["image"]: event["t"] for event in events if event["event"] == "started"}
    return [
        event["t"] - begun[event["image"]] - event["seconds"] for event in events if event["event"] == "ended"
    ]


def say(name: str, workers: int, found: dict[str, Any]) -> None:
    warm = found["gap_s"][2 * workers :]
    print(
        f"{name:6} {workers} workers  {found['slides']} slides  {found['counts']}  plan {found['plan_s']:.1f} s  "
        f"run {found['run_s']:.1f} s  tables {found['finish_s']:.1f} s  cpu {found['cpu_s']:.0f} s  "
        f"busy share {found['busy_s'] / (workers * found['run_s']):.2f}  overhead per slide after warm-up: median "
        f"{statistics.median(warm):.3f} s, 95 % {sorted(warm)[int(0.95 * len(warm))]:.3f} s  "
        f"peak {found['peak_mb']:.0f} MB  summary.csv {found['sha256'][:16]}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--executors", nargs="+", default=["local", "slurm", "ray"])
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--folder", type=Path, default=None)
    known = parser.parse_args()
    folder = known.folder or Path(tempfile.mkdtemp(prefix="her2-batch-"))
    study = folder / "study"
    print(draw_batch(study, known.slides), flush=True)
    # Compiled once, for all.
    perform(plan_batch(study, RunOptions(out=folder / "warm"), Settings()).jobs[-1])
    hashes = set()
    for name in known.executors:
        for workers in known.workers:
            found = measure(name, study, workers)
            hashes.add(found["sha256"])
            say(name, workers, found)
    print("the same summary.csv" if len(hashes) == 1 else f"DIFFERENT tables: {hashes}")


if __name__ == "__main__":
    main()
