"""Broken and odd images: each is read right or refused with a reason, within seconds and bounded memory.

A quarter are valid images of unusual kinds, whose pixels are known; the others are damaged, or no images at all. All
go through `open_image` and `find_tissue`; every 25th is scored too, in a folder of its own.
"""

from __future__ import annotations

import functools
import json
import random
import time
from pathlib import Path

import cv2
import numpy as np

from qupath_her2.api.scoring import run as run_folder
from qupath_her2.errors import Her2Error
from qupath_her2.records import SlideRef
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import preset
from tests.fuzz.image_damage import BYTE_DAMAGE, JPEG_DAMAGE, ODD_FILES, PNG_DAMAGE, TIFF_DAMAGE
from tests.fuzz.image_files import WRITERS
from tests.fuzz.report import FuzzReport, Outcome, run_cases
from tests.quality.chain import score_picture

__all__ = ["run"]

#: A flat image at its limit of 100 megapixels takes 0.7 GB; the rest is the program itself.
MAX_PEAK_BYTES = 1.5e9
#: Every so many cases are scored.
SCORED_EVERY = 25
#: Endings under which files that are no images are written.
ENDINGS = (".png", ".jpg", ".tif", ".ome.tif", ".svs", ".ndpi", ".mrxs", ".bmp")
IMAGES, TRUTH = "images", "truth.npz"


def draw(rng: random.Random, folder: Path) -> str:
    """Write an image, and beside its folder the pixels that it must have, if they are known."""
    images = folder / IMAGES
    images.mkdir()
    if rng.random() < 0.2:
        kind = rng.choice(list(ODD_FILES))
        ODD_FILES[kind](rng, images / f"case{rng.choice(ENDINGS)}")
        return kind
    kind = rng.choice(list(WRITERS))
    ending, write = WRITERS[kind]
    path = images / f"case{ending}"
    truth = write(rng, path)
    height, width = truth.pixels.shape[:2]
    _write_region(images / "case.geojson", width, height)
    damage = None if rng.random() < 0.3 else _draw_damage(rng, path)
    if damage in (None, "truncated"):
        np.savez(folder / TRUTH, pixels=truth.pixels, tolerance=truth.tolerance, is_valid=damage is None)
    return kind if damage is None else f"{kind}, {damage}"


def _write_region(path: Path, width: int, height: int) -> None:
    ring = [[0, 0], [width, 0], [width, height], [0, height], [0, 0]]
    properties = {"objectType": "annotation", "classification": {"name": "Tumor"}}
    geometry = {"type": "Polygon", "coordinates": [ring]}
    path.write_text(json.dumps({"type": "Feature", "geometry": geometry, "properties": properties}))


def _draw_damage(rng: random.Random, path: Path) -> str:
    data = bytearray(path.read_bytes())
    own = (
        TIFF_DAMAGE
        if data[:2] in (b"II", b"MM")
        else PNG_DAMAGE
        if data[:4] == b"\x89PNG"
        else JPEG_DAMAGE
        if data[:2] == b"\xff\xd8"
        else BYTE_DAMAGE
    )
    damages = BYTE_DAMAGE if rng.random() < 0.35 else own
    name = rng.choice(list(damages))
    path.write_bytes(damages[name](rng, data))
    return name


def check(folder: Path) -> Outcome:
    """Open an image as scoring does, and compare its pixels with those that it must have."""
    cv2.setNumThreads(1)
    is_scored = int(folder.name) % SCORED_EVERY == SCORED_EVERY - 1
    if is_scored:
        _compile_kernels()
    # Time of the processor: on a busy machine the clock would say more about the others.
    start = time.process_time()
    _forget_peak()
    # A process that has other modules loaded begins at more than a gigabyte.
    before = _peak_bytes()
    (path,) = [
        path
        for path in (folder / IMAGES).iterdir()
        if path.stem.startswith("case") and path.suffix != ".geojson"
    ]
    outcome = _read(path, folder / TRUTH)
    losses = [*outcome.losses]
    if is_scored:
        losses += _score(folder / IMAGES)
    if (peak := _peak_bytes() - before) > MAX_PEAK_BYTES:
        losses.append(f"took {peak / 1e9:.1f} GB of memory")
    seconds = time.process_time() - start
    return Outcome(outcome.verdict, tuple(losses), outcome.detail, seconds=seconds)


@functools.cache
def _compile_kernels() -> None:
    """Score a drawn field once in a process: compiling takes longer than any image may."""
    score_picture(draw_field(preset("score", 3, score="3+", width_px=320, height_px=320)).rgb, 0.5)


def _read(path: Path, truth: Path) -> Outcome:
    known = np.load(truth) if truth.is_file() else None
    try:
        with open_image(SlideRef("case", path.name, path)) as slide:
            find_tissue(slide)
            for level in range(len(slide.level_dimensions)):
                slide.read(slide.width // 2, slide.height // 2, 64, 64, level)
            pixels = None if known is None else slide.read(0, 0, slide.width, slide.height)
    except Her2Error as error:
        message = str(error)
        losses = [f"a valid image was refused: {message}"] if known is not None and known["is_valid"] else []
        if path.name not in message:
            losses.append(f"the refusal does not name the file: {message}")
        return Outcome("refused", tuple(losses), message)
    if known is None:
        return Outcome("accepted")
    expected = known["pixels"]
    if pixels.shape != expected.shape:
        return Outcome("accepted", (f"read as {pixels.shape}, not {expected.shape}",))
    off = np.abs(pixels.astype(np.int16) - expected).mean(axis=2)
    # By blocks: white in place of a lost tile would hardly change the mean of the whole image.
    worst = cv2.blur(off.astype(np.float32), (8, 8)).max()
    if worst > max(2 * float(known["tolerance"]), 0.51):
        return Outcome("accepted", (f"other pixels than were written, {worst:.1f} off in a block of 8 px",))
    return Outcome("accepted")


def _score(images: Path) -> list[str]:
    """Score a folder, and return what went wrong: only a message that the user can act on is right."""
    try:
        results = run_folder(images, pixel_size_um=0.25)
    except Her2Error:
        return []
    return [f"scored with {result.error}" for result in results if "unexpected" in (result.error or "")]


def _forget_peak() -> None:
    # Linux keeps the peak of a process until it is told to start anew; elsewhere it is not measured.
    control = Path("/proc/self/clear_refs")
    if control.exists():
        control.write_text("5")


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def run(n: int, seed: int, keep: Path | None = None, *, is_verbose: bool = False) -> FuzzReport:
    """Read `n` drawn images; those that went wrong go to the folder `keep`."""
    return run_cases("images", draw, check, n=n, seed=seed, keep=keep, is_verbose=is_verbose)
