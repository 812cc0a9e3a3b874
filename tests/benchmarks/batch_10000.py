"""A simulated batch of 10,000 slides: time and memory of plan, status, and tables with the report.

``python -m tests.benchmarks.batch_10000 [--slides 10000]``. Simulated are the slides (empty files, whose looks are made
up), the events of 40 drivers, and the results (copies of one real result under other names). Plan, status, tables and
report are the real ones, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

from qupath_her2.batch import plan as planning
from qupath_her2.batch.finish import finish_batch
from qupath_her2.batch.journal import EVENTS
from qupath_her2.batch.local import run_jobs
from qupath_her2.batch.plan import load_plan
from qupath_her2.batch.progress import progress_of
from qupath_her2.batch.run_batch import jobs_left, plan_batch
from qupath_her2.config import Settings
from qupath_her2.project.exchange.runs import current_run
from qupath_her2.records import SlideRef
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.probe import Probe
from qupath_her2.synthetic.example_project import write_field

DRIVERS = 40


def simulate_slides(folder: Path, n: int) -> Path:
    """Write empty slides with regions, and the list that names them."""
    (folder / "slides").mkdir()
    regions = b'{"type": "FeatureCollection", "features": []}\n'
    lines = ["image,case,scanner,date"]
    for number in range(n):
        (folder / "slides" / f"s{number:05d}.svs").touch()
        (folder / "slides" / f"s{number:05d}.geojson").write_bytes(regions)
        date = f"2026-{1 + number * 12 // n:02d}-{1 + number % 28:02d}"
        lines.append(f"slides/s{number:05d}.svs,K-{number // 2:05d},scanner {number % 3},{date}")
    path = folder / "slides.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def simulated_look(ref: SlideRef, settings: Settings, *, whole_tissue: bool = False) -> Probe:
    """What a look at a slide might have found."""
    draw = random.Random(ref.id)
    if draw.random() < 0.004:
        return Probe(problem=f"Image '{ref.name}' cannot be read: simulated.", failure="unreadable")
    area_mm2 = draw.lognormvariate(3.0, 0.6)
    return Probe(ref.id, 90_000, 70_000, 0.25, "svs, 0.25 µm, HER2", True, area_mm2, "", "")


def simulate_results(folder: Path, out: Path) -> None:
    """Copy one real result, without its cells, for every job; and write events of all of them."""
    drawn = folder / "drawn"
    drawn.mkdir()
    write_field(drawn, "one", score="2+", seed=1, side_px=420, stroma=0.1, out_of_focus=0.0)
    (job,) = plan_jobs(drawn).jobs
    run_jobs([job])
    run = current_run(drawn / "her2", job.image)
    assert run is not None
    record, score = json.loads((run / "run.json").read_bytes()), (run / "score.json").read_bytes()
    pointer = orjson.dumps({"run": run.name})
    plan = load_plan(out)
    names, keys = {row.ref.id: row.ref.name for row in plan.rows}, plan.keys
    (out / EVENTS).mkdir()
    files = [(out / EVENTS / f"simulated-{number}.jsonl").open("wb") for number in range(DRIVERS)]
    for number, one in enumerate(plan.jobs):
        place = out / "results" / one.image / run.name
        place.mkdir(parents=True)
        record["image"] |= {"id": one.image, "name": names[one.image]}
        (place / "run.json").write_bytes(orjson.dumps(record))
        (place / "score.json").write_bytes(score)
        place.with_name("current.json").write_bytes(pointer)
        begun = 1.8e9 + number // DRIVERS * 60.0
        event = {"t": begun, "event": "started", "image": one.image, "key": keys[one.image]}
        end = {
            **event,
            **{"t": begun + 50, "event": "ended", "retry": None, "state": "scored", "seconds": 50.0},
            **{
                "cells": 9000,
                "steps": {"read": 5.0, "cells": 40.0, "write": 1.0},
                "peak_mb": 900,
                "score": "2+",
            },
        }
        files[number % DRIVERS].write(orjson.dumps(event) + b"\n" + orjson.dumps(end) + b"\n")
    for file in files:
        file.close()


def step(name: str, source: Path) -> None:
    """One step, in this process; prints its time and the most memory of the process."""
    out = source.parent / "her2"
    began = time.monotonic()
    said = ""
    if name == "plan":
        planning.probe_image = simulated_look
        plan = plan_batch(source, RunOptions(), Settings())
        said = f"{len(plan.jobs):,} jobs, {len(plan.unreadable)} unreadable"
    elif name == "plan again":
        said = f"{len(jobs_left(plan_batch(source, RunOptions(), Settings()))):,} left"
    elif name == "status":
        said = str(dict(+progress_of(load_plan(out)).counts))
    else:
        plan = load_plan(out)
        page, _ = finish_batch(plan, progress_of(plan))
        said = f"cohort.html {page.stat().st_size / 1e6:.1f} MB"
    took = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"{name:10} {took:6.1f} s  cpu {cpu:5.1f} s with start  {usage.ru_maxrss / 1024:5.0f} MB  {said}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=10_000)
    parser.add_argument("--step", default="")
    parser.add_argument("--source", type=Path, default=None)
    known = parser.parse_args()
    if known.step:
        step(known.step, known.source)
        return
    folder = Path(tempfile.mkdtemp(prefix="her2-10000-"))
    try:
        source = simulate_slides(folder, known.slides)

        def run(name: str) -> None:
            words = [
                sys.executable,
                "-m",
                "tests.benchmarks.batch_10000",
                "--step",
                name,
                "--source",
                str(source),
            ]
            subprocess.run(words, check=True)

        run("plan")
        simulate_results(folder, folder / "her2")
        for name in ("status", "plan again", "tables"):
            run(name)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
