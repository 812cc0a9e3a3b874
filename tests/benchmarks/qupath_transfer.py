"""Cells into a QuPath hierarchy and out of it: ours compared with QuPath's GeoJSON and loops with paquo, in one run.

    python tests/benchmarks/qupath_transfer.py [--qupath 0.6.0] [--cells 100000] [--peer-cells 10000] [--heap 4g]

The same cells for all: an outline of 24 vertices, a nucleus of 16, 10 measurements, a class. Ours goes from
``cells.npz`` on disk into the hierarchy, including hashes, checks, comparison with existing objects, and one event.
"Cold" is the first round in a fresh QuPath, without the time to compile the Groovy library (printed separately; once
per start of QuPath); "warm" is the best of the later rounds. In the other direction (``pull --cells``) a hierarchy with
another program's cells becomes a ``cells.npz``. Peers get fewer cells, since their rates do not grow with the number.
CPU seconds (all threads, Java's compiler included) hardly depend on other load.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import orjson
import shapely
from PIL import Image

from qupath_her2.project.exchange.cell_files import write_cells
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import new_run
from qupath_her2.project.exchange.score_files import regions_geojson, score_json
from qupath_her2.project.geojson.write_cells import write_cells_geojson
from qupath_her2.provenance import object_uuids
from qupath_her2.records import CellTable, Region, SlideScore
from tests.helpers.qupath import QuPath, find_qupaths

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "groovy" / "scripts" / "transfer.groovy"
WIDTH, HEIGHT = 4000, 3000
HASH = "ab" * 32
REGION = Region(
    UUID("10000000-0000-4000-8000-000000000001"), shapely.box(0, 0, WIDTH, HEIGHT), "tumour", "Tumor"
)

#: Adding and reading objects with paquo, as in its documentation.
PAQUO = """
import sys, time
import shapely
from paquo.hierarchy import QuPathPathObjectHierarchy
from paquo.classes import QuPathPathClass
import numpy as np
data = np.load(sys.argv[1])
o, xy, m = data["cell_offsets"], data["cell_xy"], data["measurements"]
names = [f"HER2: m {i}" for i in range(m.shape[1])]
classes = [QuPathPathClass(f"c{i}") for i in range(4)]
for _ in range(2):
    hierarchy = QuPathPathObjectHierarchy()
    start, before = time.perf_counter(), time.process_time()
    for i in range(len(o) - 1):
        hierarchy.add_detection(
            roi=shapely.Polygon(xy[o[i]:o[i + 1]]),
            path_class=classes[i % 4],
            measurements=dict(zip(names, m[i].astype(float).tolist())),
        )
    print(f"TIME paquo {len(o) - 1} {time.perf_counter() - start} {time.process_time() - before}")
for _ in range(2):
    start, before = time.perf_counter(), time.process_time()
    found = [(d.roi, d.path_class.name, dict(d.measurements)) for d in hierarchy.detections]
    print(f"TIME paquo-out {len(found)} {time.perf_counter() - start} {time.process_time() - before}")
"""


@dataclass(frozen=True, slots=True)
class Timed:
    """Number of cells, and wall and CPU seconds of each round."""

    cells: int
    seconds: list[float]
    cpu_s: list[float]

    def rates(self) -> tuple[int, int]:
        """Return the cold and the best warm rate, cells per second."""
        return round(self.cells / self.seconds[0]), round(self.cells / min(self.seconds[1:] or self.seconds))


def draw(n: int) -> CellTable:
    """Return n cells with irregular outlines anywhere in the image."""
    random = np.random.default_rng(1)
    centre = random.uniform(30, [WIDTH - 30, HEIGHT - 30], (n, 2)).astype(np.float32)

    def rings(k: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
        angle = np.linspace(0, 2 * np.pi, k, endpoint=False, dtype=np.float32)
        r = radius * random.uniform(0.85, 1.15, (n, k)).astype(np.float32)
        xy = np.stack([centre[:, :1] + r * np.cos(angle), centre[:, 1:] + r * np.sin(angle)], axis=2)
        return xy.reshape(-1, 2), np.arange(n + 1, dtype=np.int64) * k

    cell_xy, cell_offsets = rings(24, 20)
    nucleus_xy, nucleus_offsets = rings(16, 9)
    return CellTable(
        object_uuids(HASH, n), centre, cell_xy, cell_offsets, nucleus_xy, nucleus_offsets, np.zeros(n, np.int32),
        random.random((n, 10)).astype(np.float32), tuple(f"HER2: m {i}" for i in range(10)),
        random.integers(0, 4, n).astype(np.uint8),
    )  # fmt: skip


def prepare(folder: Path, n: int) -> Path:
    """Write an exchange folder with one run of n cells; return its ``cells.npz``."""
    her2, image = folder / "her2", "1_white"
    her2.mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT), "white").save(folder / "white.png")
    (folder / "project").mkdir()
    entry = {"id": image, "entry_id": "1", "name": "white.png", "width": WIDTH, "height": HEIGHT}
    (her2 / "images.json").write_bytes(
        orjson.dumps({"format": 1, "images": [entry | {"pixel_size_um": None}]})
    )
    table = draw(n)
    score = SlideScore("scored", "2+", "drawn", "drawn", n_cells=n)
    with lock_image(her2, image) as lock, new_run(lock, HASH) as writer:
        with writer.open("cells.npz") as file:
            write_cells(file, table)
        writer.write("regions.geojson", regions_geojson((REGION,), {}))
        writer.write("score.json", score_json(score))
        facts = {"id": image, "name": "white.png", "width": WIDTH, "height": HEIGHT, "pixel_size_um": None}
        entry = {"uuid": str(REGION.uuid), "name": None, "class": "Tumor", "role": "tumour"}
        names = {"measurements": list(table.measurement_names), "classes": list(table.class_names)}
        writer.finish(RunRecord("", HASH, facts, counts={"cells": n}, regions=(entry,), cells=names))
    return writer.final / "cells.npz"


def run_timed(command: list[str], environment: dict[str, str]) -> str:
    """Run a program and return its output."""
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=1800, check=False
    )
    if "TIME" not in done.stdout:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def times(output: str, what: str) -> Timed:
    found = re.findall(rf"^TIME {what} (\d+) ([\d.]+) ([\d.]+)", output, re.MULTILINE)
    return Timed(int(found[0][0]), [float(wall) for _, wall, _ in found], [float(cpu) for *_, cpu in found])


def in_qupath(qupath: QuPath, folder: Path, heap: str, *words: str) -> str:
    scripts = folder / "scripts"
    scripts.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SCRIPT, scripts / SCRIPT.name)
    shutil.copytree(ROOT / "groovy" / "lib", scripts / "lib", dirs_exist_ok=True)
    options = [option for word in words for option in ("--args", word)]
    kept = folder.parent / "kept"
    tool = f'-Xmx{heap} -Djava.util.prefs.userRoot="{folder}" -Dqupath_her2.compiled="{kept}"'
    return run_timed(
        [str(qupath.launcher), "script", str(scripts / SCRIPT.name), *options], {"JAVA_TOOL_OPTIONS": tool}
    )


def keep_compiled(qupath: QuPath, folder: Path) -> float:
    """Compile and cache the library, as at the first start of QuPath after its installation; return the seconds."""
    tool = f'-Djava.util.prefs.userRoot="{folder}" -Dqupath_her2.compiled="{folder / "kept"}"'
    words = ["script", str(SCRIPT.with_name("keep_compiled.groovy")), "--args", str(ROOT / "groovy")]
    start = time.monotonic()
    done = subprocess.run(
        [str(qupath.launcher), *words],
        env={**os.environ, "JAVA_TOOL_OPTIONS": tool},
        capture_output=True,
        text=True,
        check=False,
    )
    if "KEPT true" not in done.stdout:
        raise SystemExit(f"The library could not be compiled:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.monotonic() - start


def line(name: str, timed: Timed) -> None:
    cold, warm = timed.rates()
    cpu = f"({timed.cpu_s[0]:.1f} and {min(timed.cpu_s[1:] or timed.cpu_s):.1f} s of CPU)"
    print(f"{name:<20}{timed.cells:>10,} cells  cold {cold:>9,}/s  warm {warm:>9,}/s  {cpu}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--qupath", help="version or folder; every QuPath found by default")
    parser.add_argument("--cells", type=int, nargs="+", default=[100_000])
    parser.add_argument("--peer-cells", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--heap", default="4g")
    asked = parser.parse_args()
    for qupath in find_qupaths():
        if asked.qupath and asked.qupath not in (qupath.version, str(qupath.folder)):
            continue
        with tempfile.TemporaryDirectory() as name:
            compare(qupath, Path(name), asked)


def compare(qupath: QuPath, folder: Path, asked: argparse.Namespace) -> None:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"QuPath {qupath.version}, {os.cpu_count()} cores, load {load:.1f}, {time.strftime('%H:%M')}")
    ways: dict[str, Timed] = {}
    print(f"  a first start, which compiles and caches the library: {keep_compiled(qupath, folder):.1f} s")
    for n in asked.cells:
        prepare(folder / str(n), n)
        output = in_qupath(
            qupath, folder / str(n), asked.heap, "ours", str(folder / str(n)), str(asked.rounds)
        )
        ways |= {"in": times(output, "ours"), "out": times(output, "out")}
        line("qupath-her2 in", ways["in"])
        line("qupath-her2 out", ways["out"])
        heap, most = re.findall(r"^HEAP (\d+) (\d+)", output, re.MULTILINE)[0]
        compiled, saved = times(output, "compile"), times(output, "saved")
        print(
            f"  loading the cached library {compiled.seconds[0]:.1f} s; heap after {heap} of {most} MB; "
            f"pushed and saved in {saved.seconds[0]:.1f} s"
        )
    beside = folder / "peers"
    npz = prepare(beside, asked.peer_cells)
    with (beside / "cells.geojson").open("wb") as file:
        write_cells_geojson(file, draw(asked.peer_cells), compress=False)
    geojson = in_qupath(
        qupath, beside, asked.heap, "geojson", str(beside), "3", str(beside / "cells.geojson")
    )
    paquo = run_timed([sys.executable, "-c", PAQUO, str(npz)], {"PAQUO_QUPATH_DIR": str(qupath.folder)})
    for way, end in (("in", ""), ("out", "-out")):
        peers = {
            f"QuPath's GeoJSON {way}": times(geojson, f"geojson{end}"),
            f"paquo's loop {way}": times(paquo, f"paquo{end}"),
        }
        for name, timed in peers.items():
            line(name, timed)
        ratios = [ways[way].rates()[1] / timed.rates()[1] for timed in peers.values()]
        print(f"  {way}: ours is {ratios[0]:.0f} times GeoJSON and {ratios[1]:.0f} times paquo, warm")


if __name__ == "__main__":
    main()
