"""Patch rates of the fast TIFF reader compared with OpenSlide, on one thread, in one run.

Run: ``python tests/benchmarks/bench_readers.py [slide ...]``. Without a slide it draws JPEG pyramids with 256-px and
240-px tiles. Rates are 256-px patches per second; the ratio is the result. "openslide" is OpenSlide as it is commonly
called, ``np.asarray(slide.read_region(...).convert("RGB"))``; "ours" is this package's OpenSlide reader.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import openslide
import tifffile

from qupath_her2.slides.readers.openslide_reader import OpenSlideSlide
from qupath_her2.slides.readers.tiff_reader import TiffSlide

PATCH = 256
SECONDS = 2.0


def draw_slide(path: Path, tile: int, subsampling: tuple[int, int]) -> Path:
    """Draw an H-DAB-like JPEG TIFF, 8192 px wide: smooth stain with grain, quality 80."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(90, 245, (256, 256, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (8192, 8192), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(-12, 12, (8192, 8192), dtype=np.int8)
    image = np.clip(image.astype(np.int16) + grain[..., None], 0, 255).astype(np.uint8)
    options = {"photometric": "ycbcr", "compression": "jpeg", "compressionargs": {"level": 80}}
    tifffile.imwrite(path, image, tile=(tile, tile), subsampling=subsampling, metadata=None, **options)
    return path


def corners(width: int, height: int, offset: int, order: str) -> list[tuple[int, int]]:
    """Return patch corners on a 256-px grid moved by `offset`, row by row or in random order."""
    xs = range(offset, width - PATCH + 1, PATCH)
    ys = range(offset, height - PATCH + 1, PATCH)
    grid = [(x, y) for y in ys for x in xs]
    if order == "random":
        np.random.default_rng(0).shuffle(grid)
    return grid


def rate(read: Callable[[int, int], np.ndarray], grid: list[tuple[int, int]]) -> float:
    """Return patches per second of CPU time of this thread, which does not depend on other load."""
    read(*grid[0])
    start, count = time.thread_time(), 0
    while time.thread_time() - start < SECONDS:
        read(*grid[count % len(grid)])
        count += 1
    return count / (time.thread_time() - start)


def bench(path: Path) -> None:
    """Print one line for each access pattern."""
    width, height = openslide.OpenSlide(path).dimensions
    for name, offset, order in (
        ("aligned, in order", 0, "rows"),
        ("aligned, random", 0, "random"),
        ("moved 100 px, in order", 100, "rows"),
        ("moved 100 px, random", 100, "random"),
    ):
        grid = corners(width, height, offset, order)
        with openslide.OpenSlide(path) as handle, OpenSlideSlide(path) as ours, TiffSlide(path) as fast:
            peer = rate(
                lambda x, y, h=handle: np.asarray(h.read_region((x, y), 0, (PATCH, PATCH)).convert("RGB")),
                grid,
            )
            own = rate(lambda x, y, s=ours: s.read(x, y, PATCH, PATCH), grid)
            quick = rate(lambda x, y, s=fast: s.read(x, y, PATCH, PATCH), grid)
        print(
            f"{path.name:28} {name:24} openslide {peer:7.0f}/s  ours {own:7.0f}/s  fast {quick:7.0f}/s  "
            f"fast : openslide {quick / peer:4.1f}"
        )


def bench_supertile(path: Path, side: int = 2048) -> None:
    """Print the rate of 256-px patches cut from `side`-px supertiles."""
    width, height = openslide.OpenSlide(path).dimensions
    side = min(side, width, height)
    patches = (side // PATCH) ** 2
    grid = [(x, y) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
    with openslide.OpenSlide(path) as handle, TiffSlide(path) as fast:
        peer = patches * rate(
            lambda x, y: np.asarray(handle.read_region((x, y), 0, (side, side)).convert("RGB")), grid
        )
        quick = patches * rate(lambda x, y: fast.read(x, y, side, side), grid)
    print(
        f"{path.name:28} {f'{side} px supertiles':24} openslide {peer:7.0f}/s  {'':14}  fast {quick:7.0f}/s  "
        f"fast : openslide {quick / peer:4.1f}"
    )


def main(paths: list[str]) -> None:
    """Benchmark the given slides, or drawn ones."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        slides = [Path(p) for p in paths] or [
            draw_slide(Path(folder) / f"drawn-tile{tile}-{name}.tif", tile, subsampling)
            for tile, name, subsampling in ((256, "420", (2, 2)), (256, "444", (1, 1)), (240, "420", (2, 2)))
        ]
        for path in slides:
            bench(path)
            bench_supertile(path)


if __name__ == "__main__":
    main(sys.argv[1:])
