"""Scoring by cells beside QuPath's own cell detection, on the same pictures, in one run, on one thread each, warm.

    python -m tests.benchmarks.bench_qupath_cells [--qupath 0.6.0] [--real DIR --pixel-size-um 0.32] [--rounds 4]

QuPath detects at 0.5 µm/px with its default measurements and nothing more; ours reads, detects, outlines, measures
membranes, grades and scores. CPU time counts all threads of a process, Java's compiler and garbage collector included;
the best round counts, by which Java has compiled what it will. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

import cv2
import shapely

from qupath_her2.slides.readers.slide import open_slide
from tests.benchmarks.bench_cells import Timed, best_of, chain, dense_picture, prepare, write_slide
from tests.helpers.qupath import QuPath, find_qupaths, java_options
from tests.quality.report import about

SCRIPT = Path(__file__).parents[1] / "groovy" / "scripts" / "time_detection.groovy"


def time_qupath(qupath: QuPath, image: Path, um_px: float, rounds: int, private: Path) -> Timed:
    """Return QuPath's fastest round on an image, and how many cells it found."""
    words = ["--args", str(um_px), "--args", str(rounds)]
    done = subprocess.run(
        [str(qupath.launcher), "script", "-i", str(image), str(SCRIPT), *words],
        env={**os.environ, "JAVA_TOOL_OPTIONS": java_options({"java.util.prefs.userRoot": private})},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    found = re.findall(r"^TIME (\d+) ([\d.]+) ([\d.]+)", done.stdout, re.MULTILINE)
    if not found:
        raise SystemExit(f"QuPath failed on {image.name}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    cells, wall, cpu = zip(*found, strict=True)
    return Timed(min(map(float, cpu)), min(map(float, wall)), int(cells[-1]))


def compare(qupath: QuPath, name: str, image: Path, um_px: float, rounds: int, private: Path) -> None:
    """Print both rates on an image and their ratio."""
    with open_slide(image) as slide:
        width, height = slide.width, slide.height
    stains = prepare(image, um_px)
    frame = shapely.box(0, 0, width, height)
    ours = best_of(rounds, lambda: chain(image, um_px, stains, frame))
    theirs = time_qupath(qupath, image, um_px, rounds, private)
    mpx = width * height / 1e6
    print(f"{name}: {width} x {height} px at {um_px} µm/px")
    for label, timed, cells in (
        ("qupath-her2", ours, len(ours.value.table)),
        ("QuPath", theirs, theirs.value),
    ):
        print(
            f"  {label:12} {cells:8,} cells  CPU time {mpx / timed.cpu:6.2f} Mpx/s, {cells / timed.cpu:7,.0f} cells/s; "
            f"wall time {mpx / timed.wall:6.2f} Mpx/s"
        )
    print(
        f"  ratio {theirs.cpu / ours.cpu:.1f} in CPU time, {theirs.wall / ours.wall:.1f} in wall time",
        flush=True,
    )


def main() -> None:
    """Compare on two drawn fields, and on real cores if given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--qupath", help="version or folder; every QuPath found by default")
    parser.add_argument("--real", type=Path, metavar="DIR", help="folder of real cores (*.jpg)")
    parser.add_argument("--pixel-size-um", type=float, default=0.32, help="pixel size of the real cores")
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    print("; ".join(f"{key} {value}" for key, value in about().items() if value is not None))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        images = [
            (f"dense drawn field at {um_px}", write_slide(folder, dense_picture(um_px, 3), um_px), um_px)
            for um_px in (0.25, 0.5)
        ]
        if asked.real:
            images += [(path.stem, path, asked.pixel_size_um) for path in sorted(asked.real.glob("*.jpg"))]
        for qupath in find_qupaths():
            if asked.qupath and asked.qupath not in (qupath.version, str(qupath.folder)):
                continue
            print(f"QuPath {qupath.version}, one thread; load {os.getloadavg()[0]:.1f}")
            for name, image, um_px in images:
                compare(qupath, name, image, um_px, asked.rounds, folder / "private")


if __name__ == "__main__":
    main()
