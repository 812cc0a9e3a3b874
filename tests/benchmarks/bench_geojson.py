"""Writing cells as GeoJSON: our writer compared with the ``geojson`` package and ``json``, in one run.

    python tests/benchmarks/bench_geojson.py [--cells 1000000] [--peer-cells 4000] [--rounds 1]

Both write the same cells: an outline of 24 vertices, a nucleus of 16, 10 measurements, a class with its colour. The
peer gets fewer cells, since its rate does not depend on their number and a million would take minutes. Rounds
alternate, and the best of each is reported. CPU time, summed over all threads, hardly depends on other programs; wall
time does, so both are printed.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import geojson
import numpy as np

from qupath_her2.project.class_names import class_colour
from qupath_her2.project.geojson.write_cells import write_cells_geojson
from qupath_her2.provenance import object_uuids
from qupath_her2.records import CellTable

CELL_VERTICES, NUCLEUS_VERTICES, MEASUREMENTS = 24, 16, 10


def draw(n: int) -> CellTable:
    """Return n cells with irregular outlines, built column by column to keep the peak memory low."""
    random = np.random.default_rng(1)
    centre = random.uniform(50, 90_000, (n, 2)).astype(np.float32)

    def rings(k: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
        xy = np.empty((n, k, 2), np.float32)
        angle = np.linspace(0, 2 * np.pi, k, endpoint=False, dtype=np.float32)
        for part in range(0, n, 50_000):
            rows = slice(part, min(part + 50_000, n))
            r = radius * random.uniform(0.85, 1.15, (rows.stop - rows.start, k)).astype(np.float32)
            xy[rows, :, 0] = centre[rows, :1] + r * np.cos(angle)
            xy[rows, :, 1] = centre[rows, 1:] + r * np.sin(angle)
        return xy.reshape(-1, 2), np.arange(n + 1, dtype=np.int64) * k

    cell_xy, cell_offsets = rings(CELL_VERTICES, 20)
    nucleus_xy, nucleus_offsets = rings(NUCLEUS_VERTICES, 9)
    return CellTable(
        uuid=object_uuids("ab" * 32, n),
        centroid_xy=centre,
        cell_xy=cell_xy,
        cell_offsets=cell_offsets,
        nucleus_xy=nucleus_xy,
        nucleus_offsets=nucleus_offsets,
        region=np.zeros(n, np.int32),
        measurements=random.uniform(0, 2, (n, MEASUREMENTS)).astype(np.float32),
        measurement_names=tuple(f"HER2: Measurement {i} µm" for i in range(MEASUREMENTS)),
        cell_class=random.integers(0, 4, n).astype(np.uint8),
    )


def peer(cells: CellTable, n: int) -> bytes:
    """Return the first n cells as written by the geojson package."""

    def ring(xy: np.ndarray, offsets: np.ndarray, i: int) -> list[list[tuple[float, float]]]:
        points = [(round(x, 2), round(y, 2)) for x, y in xy[offsets[i] : offsets[i + 1]].tolist()]
        return [[*points, points[0]]]

    features = []
    for i in range(n):
        name = cells.class_names[cells.cell_class[i]]
        values = dict(zip(cells.measurement_names, cells.measurements[i].tolist(), strict=True))
        features.append(
            geojson.Feature(
                id=str(UUID(bytes=cells.uuid[i].tobytes())),
                geometry=geojson.Polygon(ring(cells.cell_xy, cells.cell_offsets, i)),
                nucleusGeometry=geojson.Polygon(ring(cells.nucleus_xy, cells.nucleus_offsets, i)),
                properties={
                    "objectType": "cell",
                    "classification": {"names": name.split(": "), "color": class_colour(name)},
                    "measurements": values,
                },
            )
        )
    return json.dumps(geojson.FeatureCollection(features)).encode()


def write(path: Path, cells: CellTable, *, compress: bool) -> None:
    """Write cells with our writer."""
    with path.open("wb") as file:
        write_cells_geojson(file, cells, compress=compress)


def rates(n: int, action: Callable[[], object]) -> np.ndarray:
    """Return cells per second of wall time and of CPU time (all threads)."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return n / np.array([time.perf_counter() - wall, time.process_time() - cpu])


def peak_rss_gb() -> float:
    """Return the peak memory of this process so far, GB."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e9
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=100_000, help="number of cells for our writer")
    parser.add_argument(
        "--peer-cells", type=int, default=4_000, help="number of cells for the geojson package"
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    write_cells_geojson(io.BytesIO(), draw(100))  # compile, if not cached
    cells = draw(options.cells)
    n_peer = min(options.peer_cells, options.cells)
    table_gb = peak_rss_gb()
    peers: dict[str, Callable[[], object]] = {
        "plain": lambda: peer(cells, n_peer),
        "gzip, default level": lambda: gzip.compress(peer(cells, n_peer)),
        "gzip, level 1": lambda: gzip.compress(peer(cells, n_peer), 1),
    }
    best = {label: np.zeros((2, 2)) for label in peers}
    peak_gb = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for label in peers:
                ours = functools.partial(write, Path(folder) / label, cells, compress=label != "plain")
                best[label][0] = np.maximum(best[label][0], rates(len(cells), ours))
            # Read before the peers run, which would raise the peak of this process.
            peak_gb = peak_gb or peak_rss_gb()
            for label, other in peers.items():
                best[label][1] = np.maximum(best[label][1], rates(n_peer, other))
        sizes = {label: (Path(folder) / label).stat().st_size for label in peers}
    print(f"{len(cells):,} cells, {CELL_VERTICES} + {NUCLEUS_VERTICES} vertices, {MEASUREMENTS} measurements")
    if hasattr(os, "getloadavg"):
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':22}{'ours':>10}{'geojson':>10}{'ratio wall':>12}{'ratio CPU':>11}{'MB':>8}")
    for label, ((wall, cpu), (peer_wall, peer_cpu)) in best.items():
        shown = (
            f"{label:22}{wall:>8,.0f}/s{peer_wall:>8,.0f}/s{wall / peer_wall:>11.1f}x{cpu / peer_cpu:>10.1f}x"
        )
        print(f"{shown}{sizes[label] / 1e6:>8,.0f}")
    print(
        f"peak memory of ours {peak_gb:.2f} GB, of which {table_gb:.2f} GB for drawing and holding the table"
    )


if __name__ == "__main__":
    main()
