"""Cutting patches: manifest and pixels in memory, compared with OpenSlide + PIL + one PNG file per patch, in one run.

Run: ``python tests/benchmarks/patches.py [slide ...]``. Without a slide it draws JPEG pyramids with 256-px and 240-px
tiles. Both sides cut the same 256-px patches on one thread and get the same pixels (checked). Rates are patches per
second of CPU time, which does not depend on other load; wall time and load are printed too. "drop" also applies the
rule on white and black pixels, which reads each patch once more. Each side first runs once on a copy of the slide; each
rate is that of one run.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import openslide
import shapely
import tifffile
from PIL import Image

from qupath_her2.patches.cutting.cut_patches import CutContext, manifest_from_regions
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels, reading_order
from qupath_her2.patches.settings import PatchSettings

PATCH = 256
PEER_PATCHES = 200


def draw_study(folder: Path, tile: int) -> Path:
    """Draw one 8192 px wide H-DAB-like JPEG TIFF, quality 80, with a tumour region over nearly all of it."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(90, 245, (256, 256, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (8192, 8192), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(-12, 12, (8192, 8192), dtype=np.int8)
    image = np.clip(image.astype(np.int16) + grain[..., None], 0, 255).astype(np.uint8)
    path = folder / f"drawn_{tile}.tif"
    options = {"photometric": "ycbcr", "compression": "jpeg", "compressionargs": {"level": 80}}
    tifffile.imwrite(path, image, tile=(tile, tile), subsampling=(2, 2), metadata=None, **options)
    return path


def study_of(path: Path, folder: Path) -> Path:
    """Link the slide into a folder with a region over nearly all of it."""
    study = folder / f"study_{path.stem}"
    study.mkdir()
    shutil.copy(path, study / path.name)
    width, height = openslide.OpenSlide(str(path)).dimensions
    shape = shapely.Point(width / 2, height / 2).buffer(0.55 * min(width, height))
    feature = {"type": "Feature", "geometry": shapely.geometry.mapping(shape), "properties": {}}
    feature["properties"] = {"classification": {"name": "Tumor: 3+"}}
    (study / f"{path.stem}.geojson").write_text(json.dumps(feature))
    return study


def timed(work: Callable[[], object]) -> tuple[float, float, object]:
    """Return CPU seconds, wall seconds and the result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def ours(study: Path, drop: str, threads: int) -> tuple[PatchManifest, np.ndarray]:
    """Cut and read all patches into memory."""
    settings = PatchSettings(grid=GridSettings(PATCH, 0.0), drop=DROP_RULES[drop], split="none")
    manifest = manifest_from_regions(study, settings, CutContext(threads=threads))
    order = reading_order(manifest)
    out = np.empty((len(manifest), PATCH, PATCH, 3), np.uint8)
    with PatchPixels(manifest) as pixels:
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            out[rows] = pixels.read(rows)
    return manifest, out


def peer(path: Path, boxes: np.ndarray, folder: Path) -> int:
    """Read each patch with OpenSlide and save it as PNG with PIL, as scripts of papers do."""
    with openslide.OpenSlide(str(path)) as slide:
        for x, y, side, _ in boxes.tolist():
            patch = slide.read_region((x, y), 0, (side, side)).convert("RGB")
            patch.save(folder / f"{x}_{y}.png")
    return len(boxes)


def bench(path: Path, folder: Path) -> None:
    """Print both rates and their ratio for one slide."""
    # A first run on a copy: imports and memory allocation belong to neither rate, and the slide itself stays uncached.
    first = folder / "first"
    first.mkdir(exist_ok=True)
    warm = Path(shutil.copy(path, first / f"first_{path.name}"))
    manifest, _ = ours(study_of(warm, folder), "white-black", 1)
    peer(warm, manifest.box_xywh[:3], first)
    study = study_of(path, folder)
    cpu, wall, result = timed(lambda: ours(study, "none", 1))
    manifest, pixels = result
    drop_cpu, drop_wall, _ = timed(lambda: ours(study, "white-black", 1))
    png = folder / f"png_{path.stem}"
    png.mkdir()
    boxes = manifest.box_xywh[:PEER_PATCHES]
    peer_cpu, peer_wall, n = timed(lambda: peer(path, boxes, png))
    for box, patch in zip(boxes[:20].tolist(), pixels, strict=False):
        saved = np.asarray(Image.open(png / f"{box[0]}_{box[1]}.png"))
        assert np.array_equal(saved, patch), f"other pixels at {box}"
    rate, drop_rate, peer_rate = len(manifest) / cpu, len(manifest) / drop_cpu, n / peer_cpu
    print(f"{path.name}: {len(manifest)} patches of {PATCH} px, load {os.getloadavg()[0]:.1f}")
    print(
        f"  OpenSlide + PIL + PNG     {peer_rate:8.0f} patches/s   (wall {n / peer_wall:.0f}/s, {n} patches)"
    )
    print(
        f"  manifest + pixels         {rate:8.0f} patches/s   {rate / peer_rate:5.1f}x   (wall {wall:.2f} s)"
    )
    print(
        f"  manifest + drop + pixels  {drop_rate:8.0f} patches/s   {drop_rate / peer_rate:5.1f}x   "
        f"(wall {drop_wall:.2f} s)"
    )


def main() -> None:
    """Benchmark the given slides, or drawn ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slides = [Path(word) for word in sys.argv[1:]] or [draw_study(folder, tile) for tile in (256, 240)]
        for path in slides:
            bench(path, folder)


if __name__ == "__main__":
    main()
