"""Speed of scoring by cells, from reading to classified cells, compared with peers in one run; one thread, warm.

    python -m tests.benchmarks.bench_cells [--real DIR] [--rounds 3] [--geojson-cells 50000]

Timed: open and read the image, unmix, detect, outline, measure, grade, classify and score, over the whole image.
Tissue mask and stain vectors are computed once per image and timed separately. Speed is given in level-0 pixels, in
pixels of the working grid (about 0.5 µm) and in cells, by CPU time, which hardly depends on other programs, and by wall
time. "naive" is a typical pipeline written with scikit-image, on the same image at the working scale, with detection
and mean DAB of a ring only. OpenSlide and the ``geojson`` package are timed in the same run. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import cv2
import numpy as np
import openslide
import shapely
import tifffile
from numpy.typing import NDArray

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.measure import MeasuredCells, measure_cells
from qupath_her2.project.geojson.write_cells import write_cells_geojson
from qupath_her2.records import CaseInfo, Region
from qupath_her2.scoring.score_cells import ScoringSettings, score_cells
from qupath_her2.slides.readers.slide import open_slide, read_scaled
from qupath_her2.slides.readers.tiff_reader import TiffSlide
from qupath_her2.slides.stains.density_sample import sample_tissue
from qupath_her2.slides.stains.estimate import estimate_stains
from qupath_her2.slides.stains.vectors import StainVectors
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.settings import FieldSettings
from tests.benchmarks import bench_geojson, bench_readers
from tests.benchmarks.bench_naive import naive_cells
from tests.benchmarks.steps import Steps, timed_steps
from tests.quality.report import about

Picture = NDArray[np.uint8]
#: QuPath 0.6.0, cell and membrane detection on a 5468 x 5468 px core, one thread, warm, another machine.
QUPATH_MPX_S = 2.5
SEED = 590_001


@dataclass(frozen=True, slots=True)
class Timed:
    """Best CPU and wall seconds of several rounds, and the result of the last one."""

    cpu: float
    wall: float
    value: Any


def best_of(rounds: int, action: Callable[[], Any]) -> Timed:
    """Run an action several times and return the fastest round."""
    best = Timed(np.inf, np.inf, None)
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        value = action()
        spent = time.process_time() - cpu, time.perf_counter() - wall
        best = Timed(min(best.cpu, spent[0]), min(best.wall, spent[1]), value)
    return best


def dense_picture(um_px: float, repeat: int) -> Picture:
    """Return a drawn field full of tumour cells of all classes, repeated to fill several tiles."""
    side = round(320 / um_px)
    settings = FieldSettings(
        width_px=side,
        height_px=side,
        pixel_size_um=um_px,
        seed=SEED,
        shares=(0.25, 0.25, 0.25, 0.25),
        crowding=1.0,
        cell_diameter_um=11.0,
        stroma=0.0,
        lumens=0.0,
    )
    return np.tile(draw_field(settings).rgb, (repeat, repeat, 1))


def write_slide(folder: Path, picture: Picture, um_px: float) -> Path:
    """Write an image as a JPEG-tiled TIFF, as scanners do."""
    path = folder / f"dense-{um_px}.tif"
    options: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 90}}
    resolution = (1e4 / um_px, 1e4 / um_px)
    tifffile.imwrite(
        path, picture, tile=(256, 256), metadata=None, resolution=resolution, resolutionunit=3, **options
    )
    return path


def chain(path: Path, um_px: float, stains: StainVectors, frame: shapely.Polygon) -> MeasuredCells:
    """Read, measure, classify and score an image on one thread."""
    with open_slide(path) as slide:
        region = Region(UUID(int=1), frame, "tumour")
        found = measure_cells(slide, [region], pixel_size_um=um_px, stains=stains, workers=1)
    score_cells(
        found.intensity,
        found.pattern,
        found.table.region,
        [str(region.uuid)],
        case=CaseInfo(),
        settings=ScoringSettings(),
        regrade=found.regrade,
    )
    return found


def prepare(path: Path, um_px: float) -> StainVectors:
    """Find tissue and glass and estimate the stains of one image."""
    with open_slide(path) as slide:
        tissue = find_tissue(slide, pixel_size_um=um_px)
        stains = estimate_stains(sample_tissue(slide, tissue, um_px))
    return replace(stains, background_rgb=tissue.background_rgb)


def bench_image(name: str, path: Path, um_px: float, rounds: int) -> None:
    """Print the speed on one image, the time of each step, and the naive pipeline for comparison."""
    with open_slide(path) as slide:
        width, height, reader = slide.width, slide.height, slide.reader
    frame = shapely.box(0, 0, width, height)
    first = time.process_time()
    stains = prepare(path, um_px)
    chain(path, um_px, stains, frame)
    first = time.process_time() - first
    apart = best_of(rounds, lambda: prepare(path, um_px))
    ours = best_of(rounds, lambda: chain(path, um_px, stains, frame))
    n = len(ours.value.table)
    level0 = width * height / 1e6
    working = level0 / make_grid(um_px).downsample ** 2
    print(f"\n{name}: {width} x {height} px at {um_px} µm/px ({reader} reader), {n:,} cells, whole frame")
    print(f"{'':34}{'CPU time':>12}{'wall time':>12}")
    for label, amount in (
        ("Mpx/s, level-0 pixels", level0),
        ("Mpx/s, working pixels", working),
        ("cells/s", float(n)),
    ):
        print(f"{label:34}{amount / ours.cpu:>12,.1f}{amount / ours.wall:>12,.1f}")
    print(f"{'seconds':34}{ours.cpu:>12.2f}{ours.wall:>12.2f}")
    print(f"{'  + tissue and stains, seconds':34}{apart.cpu:>12.2f}{apart.wall:>12.2f}")
    print(
        f"{'  first call in this process':34}{first:>12.2f}  (compiled code is loaded, or compiled and cached)"
    )
    if um_px <= 0.26:
        print(f"{'ratio to QuPath (2.5 Mpx/s)':34}{level0 / ours.cpu / QUPATH_MPX_S:>11.1f}x")
    print_steps(path, um_px, stains, frame)
    print_naive(path, um_px, n / ours.cpu, working / ours.cpu, rounds)


def print_steps(path: Path, um_px: float, stains: StainVectors, frame: shapely.Polygon) -> None:
    """Print the CPU time of each step of one more round, without the steps inside it."""
    with timed_steps() as steps:
        start = time.process_time()
        chain(path, um_px, stains, frame)
        total = time.process_time() - start
    print(f"  {'step':28}{'CPU s':>8}{'share':>8}{'calls':>7}")
    for step, seconds, calls in _ordered(steps, total):
        print(f"  {step:28}{seconds:>8.3f}{100 * seconds / total:>7.1f}%{calls:>7}")
    if steps.absent:
        print(f"  not found, so counted in the rest: {', '.join(steps.absent)}")


def _ordered(steps: Steps, total: float) -> list[tuple[str, float, int]]:
    rows = sorted(((s, t, steps.calls[s]) for s, t in steps.seconds.items()), key=lambda row: -row[1])
    return [*rows, ("rest", total - sum(t for _, t, _ in rows), 1)]


def print_naive(path: Path, um_px: float, cells_s: float, mpx_s: float, rounds: int) -> None:
    """Print the speed of the naive pipeline on at most 2048 x 2048 working pixels of the same image, and the ratio."""
    downsample = make_grid(um_px).downsample

    def read_and_measure() -> tuple[int, float]:
        with open_slide(path) as slide:
            side = min(2048, int(min(slide.width, slide.height) / downsample))
            x, y = (int((v - side * downsample) / 2) for v in (slide.width, slide.height))
            picture = read_scaled(slide, x, y, side, side, downsample)
        return naive_cells(picture, um_px * downsample), side * side / 1e6

    naive = best_of(min(rounds, 2), read_and_measure)
    n, mpx = naive.value
    print(
        f"  naive scikit-image: {n:,} cells on {mpx:.1f} Mpx, {n / naive.cpu:,.0f} cells/s, "
        f"{mpx / naive.cpu:.2f} working Mpx/s (CPU); ours is {cells_s / (n / naive.cpu):.1f}x its cells, "
        f"{mpx_s / (mpx / naive.cpu):.1f}x its pixels"
    )


def bench_reading(path: Path) -> None:
    """Print the patch rates of our reader and of OpenSlide, on a slide that OpenSlide opens."""
    width, height = openslide.OpenSlide(path).dimensions
    side = bench_readers.PATCH
    for order in ("rows", "random"):
        grid = bench_readers.corners(width, height, 0, order)
        with openslide.OpenSlide(path) as handle, TiffSlide(path) as fast:
            peer = bench_readers.rate(functools.partial(_openslide_patch, handle, side), grid)
            quick = bench_readers.rate(functools.partial(_patch, fast, side), grid)
        print(
            f"reading {side}-px patches, {order:7} OpenSlide {peer:6.0f}/s   ours {quick:6.0f}/s   "
            f"ratio {quick / peer:.1f}x (CPU)"
        )


def _openslide_patch(handle: openslide.OpenSlide, side: int, x: int, y: int) -> Picture:
    return np.asarray(handle.read_region((x, y), 0, (side, side)).convert("RGB"))


def _patch(slide: TiffSlide, side: int, x: int, y: int) -> Picture:
    return slide.read(x, y, side, side)


def bench_writing(n: int) -> None:
    """Print the rates of our GeoJSON writer and of the geojson package."""
    write_cells_geojson(io.BytesIO(), bench_geojson.draw(100))
    cells, n_peer = bench_geojson.draw(n), min(n, 3000)
    with tempfile.TemporaryDirectory() as folder:
        for label, compress in (("plain", False), ("gzip", True)):
            write = functools.partial(bench_geojson.write, Path(folder) / label, cells, compress=compress)
            ours = best_of(2, write)
            peer = best_of(2, functools.partial(_peer_bytes, cells, n_peer, compress))
            print(
                f"GeoJSON {label:6} geojson + json {n_peer / peer.cpu:8,.0f} cells/s   ours {n / ours.cpu:9,.0f} "
                f"cells/s   ratio {(n / ours.cpu) / (n_peer / peer.cpu):.1f}x (CPU)"
            )


def _peer_bytes(cells: Any, n: int, compress: bool) -> bytes:
    plain = bench_geojson.peer(cells, n)
    return gzip.compress(plain) if compress else plain


def main() -> None:
    """Benchmark drawn fields, then the real cores if given, then reading and writing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, metavar="DIR", help="folder of real cores (*.jpg)")
    parser.add_argument("--pixel-size-um", type=float, default=0.25, help="pixel size of the real cores")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--repeat", type=int, default=3, help="repetitions of the drawn field in each direction"
    )
    parser.add_argument("--geojson-cells", type=int, default=50_000)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    print("; ".join(f"{key} {value}" for key, value in about().items() if value is not None))
    print(f"one thread; best of {given.rounds} rounds; warm; nothing is asserted", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        slides = {}
        for um_px in (0.25, 0.5):
            slides[um_px] = write_slide(Path(folder), dense_picture(um_px, given.repeat), um_px)
            bench_image("dense drawn field", slides[um_px], um_px, given.rounds)
        for path in sorted(given.real.glob("*.jpg")) if given.real else ():
            bench_image(f"real core {path.name[:10]}", path, given.pixel_size_um, given.rounds)
        print()
        bench_reading(slides[0.25])
    bench_writing(given.geojson_cells)


if __name__ == "__main__":
    main()
