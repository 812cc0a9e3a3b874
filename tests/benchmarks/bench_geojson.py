"""Cells to GeoJSON: our writer beside the ``geojson`` package with ``json``, in one run.

    python tests/benchmarks/bench_geojson.py [--cells 1000000] [--peer-cells 4000]

Both write the same cells: an outline of 24 vertices, a nucleus of 16, 10 measurements, a class with its colour.
The peer gets fewer cells, since its rate does not depend on their number and a million would take minutes and
gigabytes. Rates are the best of three for the peer and a single run for ours: the ratio is on the careful side.
"""

from __future__ import annotations

import argparse
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

from qupath_her2.project.cells_geojson import write_cells_geojson
from qupath_her2.project.vocabulary import class_colour
from qupath_her2.provenance import cell_uuids
from qupath_her2.records import CellTable

CELL_VERTICES, NUCLEUS_VERTICES, MEASUREMENTS = 24, 16, 10


def draw(n: int) -> CellTable:
    """Return n cells with wobbly outlines, built column by column so that drawing sets no peak of its own."""
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
        uuid=cell_uuids("ab" * 32, n),
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
    """Return the first n cells as the geojson package writes them."""

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


def rate(n: int, action: Callable[[], object], repeats: int = 1) -> float:
    """Return cells per second, the best of `repeats`."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - started)
    return n / best


def peak_rss_gb() -> float:
    """Return the highest memory of this process so far, GB."""
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
    parser.add_argument("--cells", type=int, default=100_000, help="cells for our writer")
    parser.add_argument("--peer-cells", type=int, default=4_000, help="cells for the geojson package")
    options = parser.parse_args()
    write_cells_geojson(io.BytesIO(), draw(100))  # compile, if not compiled before
    cells = draw(options.cells)
    n, n_peer = options.cells, min(options.peer_cells, options.cells)
    table_gb = peak_rss_gb()
    with tempfile.TemporaryDirectory() as folder:
        rates, sizes = {}, {}
        for compress, name in ((False, "cells.geojson"), (True, "cells.geojson.gz")):
            path = Path(folder) / name

            def ours(path: Path = path, compress: bool = compress) -> None:
                with path.open("wb") as file:
                    write_cells_geojson(file, cells, compress=compress)

            rates[compress], sizes[compress] = rate(n, ours), path.stat().st_size
    peak_gb = peak_rss_gb()  # before the peer, which would raise it
    peer_rate = rate(n_peer, lambda: peer(cells, n_peer), 3)
    packed_rate = rate(n_peer, lambda: gzip.compress(peer(cells, n_peer)), 3)
    fast_rate = rate(n_peer, lambda: gzip.compress(peer(cells, n_peer), 1), 3)
    print(f"{n:,} cells, {CELL_VERTICES} + {NUCLEUS_VERTICES} vertices, {MEASUREMENTS} measurements")
    print(
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        if hasattr(os, "getloadavg")
        else ""
    )
    print(f"{'':22}{'ours':>12}{'geojson':>12}{'ratio':>8}{'MB':>9}")
    for label, compress, other in (
        ("plain", False, peer_rate),
        ("gzip", True, packed_rate),
        ("gzip, peer at level 1", True, fast_rate),
    ):
        mine = rates[compress]
        print(
            f"{label:22}{mine:>10,.0f}/s{other:>10,.0f}/s{mine / other:>7.1f}x{sizes[compress] / 1e6:>9,.0f}"
        )
    print(f"peak memory {peak_gb:.2f} GB (with the table drawn: {table_gb:.2f} GB)")


if __name__ == "__main__":
    main()
