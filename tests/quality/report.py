"""Accuracy on freshly drawn fields, compared with the targets: ``python -m tests.quality.report``.

Fields are drawn with seeds that were used neither for tuning nor for training. Each is scored as if it were the only
image of a folder (`tests.quality.chain`): its stain vectors are estimated from itself, or are QuPath's defaults where
it contains little DAB. Plain and mixed fields are scored once more as one folder (`tests.quality.folder`). Nuclei
within 8 µm of the edge are left out; drawn nuclei of other cells than tumour cells are ignored. The true score of a
field is that of the same guideline on the drawn intensities and patterns.
With ``--real DIR`` the four real cores are measured as well (`tests.quality.real`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import shapely

from tests.quality.chain import score_picture
from tests.quality.fields import FIRST_SEED, SCALES_UM_PX, Task, all_tasks, folder_tasks
from tests.quality.folder import folder_rows
from tests.quality.measures import Row, run_task
from tests.quality.real import real_report
from tests.quality.tables import error_tables, failures, group_table, summarise, target_table

ROOT = Path(__file__).parents[2]


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def about(seeds: range | None = None) -> dict[str, Any]:
    """Return everything that a figure depends on: code, data, machine, seeds."""
    grown = sorted((ROOT / "qupath_her2" / "cells" / "data").glob("*.npz"))
    changed = _git("status", "--porcelain", "--", "qupath_her2")
    return {
        "revision": _git("rev-parse", "--short", "HEAD") + (" + uncommitted changes" if changed else ""),
        "grown_sha256": {path.stem: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in grown},
        "seeds": [seeds.start, seeds.stop - 1] if seeds else None,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def _processes(workers: int) -> ProcessPoolExecutor:
    # A forked process inherits locks held by threads of this one, and may wait forever.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def measure_fields(tasks: list[Task], *, workers: int) -> list[Row]:
    """Draw and score fields in worker processes; rows in the order of the tasks."""
    rows: dict[int, list[Row]] = {}
    start = time.monotonic()
    with _processes(workers) as pool:
        numbers = {pool.submit(run_task, task): number for number, task in enumerate(tasks)}
        for done, one in enumerate(as_completed(numbers), 1):
            rows[numbers[one]] = one.result()
            if done % 10 == 0 or done == len(tasks):
                minutes = (time.monotonic() - start) / 60
                left = minutes / done * (len(tasks) - done)
                print(f"{done} of {len(tasks)} fields, {left:.0f} min left", file=sys.stderr, flush=True)
    return [row for number in sorted(rows) for row in rows[number]]


def measure_folders(seeds: range, *, workers: int) -> list[Row]:
    """Score the plain and mixed fields of each scale as one folder."""
    with _processes(workers) as pool:
        return [
            row for rows in pool.map(folder_rows, [seeds] * len(SCALES_UM_PX), SCALES_UM_PX) for row in rows
        ]


def foreign_rows() -> list[Row]:
    """Score the IHC image of scikit-image (mostly cytoplasmic stain) at the two pixel sizes it may have."""
    from skimage.data import immunohistochemistry

    picture = immunohistochemistry()  # type: ignore[no-untyped-call]
    frame = shapely.box(0, 0, picture.shape[1], picture.shape[0])
    rows = []
    for um_px in (0.5, 0.25):
        scored = score_picture(picture, um_px, frame)
        rows.append(
            Row(
                group="refuse skimage IHC", name="frame", um_px=um_px, seed=-1, score_drawn=None,
                score_found=scored.score.score, refusal=scored.score.refusal_code,
                shares_drawn=(0.0, 0.0, 0.0, 0.0), shares_found=tuple(scored.score.shares.values()),
                n_drawn=0, n_cells=scored.score.n_cells, cpu_seconds=scored.seconds,
                stains=scored.stains.source,
            )
        )  # fmt: skip
    return rows


def print_fields(rows: list[Row]) -> None:
    """Print all tables of the drawn fields."""
    print("\nTARGETS (plain and mixed fields unless stated)\n" + target_table(rows))
    print("\nGROUPS\n" + group_table(rows))
    print("\nERRORS\n" + error_tables(rows))
    print("FIELDS SCORED OR REFUSED WRONGLY (varied fields left out)\n" + failures(rows))
    codes: dict[str, set[str]] = {}
    for row in rows:
        if row.group.startswith("refuse "):
            codes.setdefault(row.group, set()).add(row.refusal or f"scored {row.score_found}")
    print("\nREASONS GIVEN")
    for group, given in sorted(codes.items()):
        print(f"{group:26} {', '.join(sorted(given))}")
    total = summarise(rows)
    print(f"\n{total.n_fields} images, {sum(r.cpu_seconds for r in rows):.0f} s of CPU time scoring them")


def main() -> None:
    """Measure, print and, with ``--out``, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds", nargs=2, type=int, default=(FIRST_SEED, FIRST_SEED + 5), metavar=("A", "B")
    )
    parser.add_argument("--quick", action="store_true", help="only plain fields at 0.25 µm/px")
    parser.add_argument("--plain", action="store_true", help="only plain and mixed fields as drawn")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file for all rows")
    parser.add_argument("--real", type=Path, metavar="DIR", help="folder of real cores with labels.csv")
    parser.add_argument("--pixel-size-um", type=float, default=0.25, help="pixel size of the real cores")
    parser.add_argument("--only-real", action="store_true", help="leave out the drawn fields")
    given = parser.parse_args()
    seeds = range(given.seeds[0], given.seeds[1] + 1)
    if seeds.start < FIRST_SEED:
        parser.error(f"seeds below {FIRST_SEED} were used for tuning or training")
    facts = about(None if given.only_real else seeds)
    print("; ".join(f"{key} {value}" for key, value in facts.items()), flush=True)
    content: dict[str, Any] = {"about": facts}
    if not given.only_real:
        if given.plain:
            tasks = [task for um_px in SCALES_UM_PX for task in folder_tasks(seeds, um_px)]
        else:
            tasks = all_tasks(seeds, quick=given.quick)
        rows = measure_fields(tasks, workers=given.workers)
        rows += [] if given.plain else foreign_rows()
        print_fields(rows)
        together = measure_folders(seeds, workers=given.workers)
        print("\nPLAIN AND MIXED FIELDS AS ONE FOLDER, stain vectors pooled\n" + target_table(together))
        print(group_table(together))
        content["rows"] = [asdict(row) for row in rows]
        content["folder_rows"] = [asdict(row) for row in together]
    if given.real:
        content["real"] = real_report(given.real, given.pixel_size_um)
    if given.out:
        given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
