"""Synthetic cases for training: small images of nuclei with or without brown membranes, and a tiny network."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels

SIDE = 32
PER_CASE = 16
CASES = 18
CLASSES = ("negative", "positive")

if importlib.util.find_spec("torch") is None:
    _HERE = Path(__file__).parent
    collect_ignore = [
        str(path.relative_to(_HERE)) for path in _HERE.rglob("test_*.py") if "torch" in path.read_text()
    ]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread of torch: sums that are compared bit for bit must be taken in the same order everywhere."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw_case(rng: np.random.Generator, label: int, tint: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Draw 4 x 4 fields of a case: blue nuclei on a background of its own tint, with brown rings where positive."""
    side = 4 * SIDE
    patch = np.full((side, side, 3), 235.0) + tint
    for _ in range(70):
        at = tuple(int(v) for v in rng.integers(0, side, 2))
        radius = int(rng.integers(3, 6))
        if label:
            cv2.circle(patch, at, radius + 2, (150, 95, 45), 2)
        cv2.circle(patch, at, radius, (95, 95, 165), -1)
    patch += rng.normal(0, 6, patch.shape)
    return np.clip(patch, 0, 255).astype(np.uint8)


def draw_cases(folder: Path, *, n_cases: int = CASES, seed: int = 1) -> PatchManifest:
    """Write one PNG per case and return their manifest: a third of the cases in each split, classes alternating."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    images, boxes = [], []
    for case in range(n_cases):
        patch = draw_case(rng, case % 2, rng.normal(0, 12, 3))
        path = folder / f"case{case:02}.png"
        assert cv2.imwrite(str(path), patch[..., ::-1])
        images.append(ManifestImage(path.stem, path.name, path, f"c{case:02}", 0.5, 4 * SIDE, 4 * SIDE))
        boxes += [(SIDE * (k % 4), SIDE * (k // 4), SIDE, SIDE) for k in range(PER_CASE)]
    image = np.repeat(np.arange(n_cases, dtype=np.int32), PER_CASE)
    return PatchManifest(
        image=image,
        box_xywh=np.array(boxes, np.int32),
        label=(image % 2).astype(np.int16),
        overlap=np.ones(len(image), np.float32),
        region_uuid=np.zeros((len(image), 16), np.uint8),
        split=(image // 2 % 3).astype(np.int8),
        images=tuple(images),
        class_names=CLASSES,
        patch_size_px=SIDE,
        pixel_size_um=0.5,
        task="drawn",
        settings={"split": {"kind": "by case", "warning": None}},
    )


@pytest.fixture(scope="session")
def draw() -> Callable[..., PatchManifest]:
    return draw_cases


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> PatchManifest:
    return draw_cases(tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="session")
def pixels(drawn: PatchManifest) -> Iterator[PatchPixels]:
    with PatchPixels(drawn, cache_bytes=64 << 20) as opened:
        yield opened


@pytest.fixture
def tiny_net() -> Callable[..., Any]:
    """A function that builds a network of some 0.4 M parameters, the same each time."""

    def build(name: str = "timm:test_resnet", n_classes: int = 2, seed: int = 3, **options: Any) -> Any:
        import torch

        from qupath_her2.models.registry import build_model

        torch.manual_seed(seed)
        return build_model(name, n_classes, weights="random", **options)

    return build


@pytest.fixture
def full_memory() -> Callable[..., None]:
    """A function that simulates a GPU's full memory: the network refuses more than so many patches."""

    def prepare(net: Any, most: int, seen: list[int]) -> None:
        import torch

        def look(_module: Any, given: tuple[Any, ...]) -> None:
            seen.append(len(given[0]))
            if len(given[0]) > most:
                raise torch.OutOfMemoryError("CUDA out of memory (simulated).")

        net.register_forward_pre_hook(look)

    return prepare
