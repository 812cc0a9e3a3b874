from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.patches.splits import case_groups

Rgb = np.ndarray
BOX = (0, 0, 16, 16)


def noise(width: int, height: int, seed: int = 0) -> Rgb:
    """uint8 (H, W, 3), every pixel another colour: what is read from the wrong place shows."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def image_of(path: Path, rgb: Rgb, **known: object) -> ManifestImage:
    """Save pixels as PNG and describe the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)
    values = {"id": path.stem, "name": path.name, "case": None, "pixel_size_um": math.nan, **known}
    return ManifestImage(path=path, width=rgb.shape[1], height=rgb.shape[0], **values)


def tiled(path: Path, rgb: np.ndarray, tile: int = 64, steps: tuple[int, ...] = ()) -> ManifestImage:
    """A tiled TIFF whose further levels are true area averages."""
    with tifffile.TiffWriter(path) as writer:
        writer.write(rgb, tile=(tile, tile), photometric="rgb", metadata=None)
        for step in steps:
            size = (rgb.shape[1] // step, rgb.shape[0] // step)
            level = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
            writer.write(level, tile=(tile, tile), photometric="rgb", metadata=None, subfiletype=1)
    return ManifestImage(path.stem, path.name, path, None, 0.25, rgb.shape[1], rgb.shape[0])


def manifest_of(
    images: Sequence[ManifestImage],
    rows: Sequence[tuple[int, tuple[int, int, int, int]]],
    labels: Sequence[int] | None = None,
    side: int = 16,
    class_names: tuple[str, ...] = ("0", "1+", "2+", "3+"),
    **known: object,
) -> PatchManifest:
    n = len(rows)
    values = {"pixel_size_um": math.nan, "task": "her2-4", **known}
    return PatchManifest(
        image=np.array([row[0] for row in rows], np.int32),
        box_xywh=np.array([row[1] for row in rows], np.int32).reshape(n, 4),
        label=np.array(labels if labels is not None else [-1] * n, np.int16),
        overlap=np.ones(n, np.float32),
        region_uuid=np.zeros((n, 16), np.uint8),
        split=np.full(n, -1, np.int8),
        images=tuple(images),
        class_names=class_names,
        patch_size_px=side,
        **values,
    )


def random_manifest(seed: int, n: int, n_images: int = 3) -> PatchManifest:
    """A manifest of n patches with random columns; the first image has no pixel size, the second no case."""
    rng = np.random.default_rng(seed)
    images = tuple(
        ManifestImage(
            f"{i}_x",
            f"bild ä{i}.svs",
            Path("/data/study/slides") / f"bild ä{i}.svs",
            None if i == 1 else f"case {i}",
            math.nan if i == 0 else 0.25 * i,
            1000 + i,
            2000,
            ({"crop": [1, 2, 30, 40]}, {"rotate": 90}) if i == 2 else (),
            "ff" * 32,
        )
        for i in range(n_images)
    )
    return PatchManifest(
        image=rng.integers(0, n_images, n, np.int32),
        box_xywh=rng.integers(1, 5000, (n, 4), np.int32),
        label=rng.integers(-1, 3, n, np.int16),
        overlap=rng.random(n, np.float32),
        region_uuid=rng.integers(0, 256, (n, 16), np.uint8),
        split=rng.integers(-1, 3, n, np.int8),
        images=images,
        class_names=("0", "low", "high"),
        patch_size_px=256,
        pixel_size_um=0.5,
        task="her2-3",
        settings={"seed": 7, "clahe": None},
        dropped={"white": 3},
    )


def cohort(
    n_cases: int,
    images_per_case: int = 2,
    patches_per_image: int = 3,
    n_classes: int = 3,
    reverse: bool = False,
) -> PatchManifest:
    """Case c has class c % n_classes on all its patches."""
    places = [(case, image) for case in range(n_cases) for image in range(images_per_case)]
    if reverse:
        places.reverse()
    images = [
        ManifestImage(f"{c}-{i}", f"{c}-{i}.svs", Path(f"{c}-{i}.svs"), f"case {c}", math.nan, 64, 64)
        for c, i in places
    ]
    rows = [(number, BOX) for number in range(len(images)) for _ in range(patches_per_image)]
    labels = [places[number][0] % n_classes for number, _ in rows]
    return manifest_of(images, rows, labels)


def parts_by_case(manifest: PatchManifest) -> dict[str, set[int]]:
    group, names = case_groups(manifest)
    return {name: set(manifest.split[group == place].tolist()) for place, name in enumerate(names)}


@pytest.fixture
def two_images(tmp_path: Path) -> Callable[..., PatchManifest]:
    """A function: a manifest of two noise images, 96 x 64 and 64 x 96 px, with two cases."""

    def make(rows: Sequence[tuple[int, tuple[int, int, int, int]]], **known: object) -> PatchManifest:
        images = [
            image_of(tmp_path / "a.png", noise(96, 64, 1), case="A", pixel_size_um=0.25),
            image_of(tmp_path / "b.png", noise(64, 96, 2), case="B", pixel_size_um=0.5),
        ]
        return manifest_of(images, rows, **known)

    return make
