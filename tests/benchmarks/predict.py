"""Prediction compared with the usual loop of timm, DataLoader, OpenSlide, PIL and torchvision, in one run.

Run: ``python tests/benchmarks/predict.py [--model NAME] [--workers N] [slide ...]``. Without a slide it draws a JPEG
pyramid. Both sides read the same 256-px patches of the same slide with the same number of readers (threads here,
processes there), run the same weights and agree in their predictions (checked). "tiny" is a network that costs next to
nothing, so that reading dominates; any ``timm:NAME`` can be used instead. Rates are given by wall time and by CPU time
of all processes, which does not depend on other load. On a GPU the share of time in which it was busy is printed;
without one, NOT MEASURED.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openslide
import tifffile
import torch
from numpy.typing import NDArray
from torchvision import transforms

from qupath_her2.learning.inference.predict import predict
from qupath_her2.learning.train.setup import initial_card
from qupath_her2.models.registry import build_model
from qupath_her2.models.settings import PredictSettings, ReadSettings
from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels

PATCH, BATCH = 256, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TinyNet(torch.nn.Module):
    """Two strided convolutions: about 1 % of the time of reading."""

    model_name, weights_source = "tiny", "random"
    n_classes, normalisation = 3, (MEAN, STD)
    options: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 16, 16)
        self.second = torch.nn.Conv2d(8, self.n_classes, 4, 4)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return 5 * self.second(self.first(pictures).relu()).mean((2, 3))


def draw_slide(path: Path, side: int = 8192) -> Path:
    """Draw an H-DAB-like JPEG TIFF with 240-px tiles, like those of Aperio, quality 80."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(90, 245, (256, 256, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(-12, 12, (side, side), dtype=np.int8)
    image = np.clip(image.astype(np.int16) + grain[..., None], 0, 255).astype(np.uint8)
    options = {"photometric": "ycbcr", "compression": "jpeg", "compressionargs": {"level": 80}}
    tifffile.imwrite(path, image, tile=(240, 240), subsampling=(2, 2), metadata=None, **options)
    return path


def manifest_of(path: Path, most: int) -> PatchManifest:
    """Return a grid of at most `most` patches over a slide."""
    width, height = openslide.OpenSlide(path).dimensions
    grid = [
        (x, y, PATCH, PATCH)
        for y in range(0, height - PATCH + 1, PATCH)
        for x in range(0, width - PATCH + 1, PATCH)
    ]
    boxes = np.array(grid[:most], np.int32)
    n = len(boxes)
    image = ManifestImage(path.stem, path.name, path, None, float("nan"), width, height)
    return PatchManifest(
        image=np.zeros(n, np.int32),
        box_xywh=boxes,
        label=np.full(n, -1, np.int16),
        overlap=np.ones(n, np.float32),
        region_uuid=np.zeros((n, 16), np.uint8),
        split=np.full(n, -1, np.int8),
        images=(image,),
        class_names=("0", "low", "high"),
        patch_size_px=PATCH,
        pixel_size_um=float("nan"),
        task="benchmark",
    )


class SlidePatches(torch.utils.data.Dataset):
    """Dataset as in tutorials: a slide opened in each worker, a PIL image, torchvision's transforms."""

    def __init__(self, path: Path, boxes: NDArray[np.int32], mean: Any, std: Any) -> None:
        self.path, self.boxes, self.slide = path, boxes, None
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> torch.Tensor:
        if self.slide is None:
            self.slide = openslide.OpenSlide(self.path)
        x, y, side, _ = self.boxes[index].tolist()
        picture = self.slide.read_region((x, y), 0, (side, side)).convert("RGB")
        result: torch.Tensor = self.transform(picture)
        return result


def plain_loop(net: Any, manifest: PatchManifest, workers: int, device: torch.device) -> NDArray[np.float32]:
    """Predict in a plain loop in float32, as in tutorials."""
    data = SlidePatches(manifest.images[0].path, manifest.box_xywh, *net.normalisation)
    loader = torch.utils.data.DataLoader(data, BATCH, num_workers=workers, pin_memory=device.type == "cuda")
    net.to(device).eval()
    answers = []
    with torch.inference_mode():
        for pictures in loader:
            answers.append(torch.softmax(net(pictures.to(device, non_blocking=True)), 1).cpu().numpy())
    return np.concatenate(answers)


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return wall seconds, CPU seconds of this process and its children, and the result."""
    before, begun = os.times(), time.perf_counter()
    result = work()
    wall, after = time.perf_counter() - begun, os.times()
    return wall, sum(after[:4]) - sum(before[:4]), result


def bench(path: Path, model: str, workers: int, most: int) -> None:
    """Print both rates for a slide."""
    torch.manual_seed(0)
    net = TinyNet() if model == "tiny" else build_model(model, 3, weights="random")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    manifest = manifest_of(path, most)
    card = initial_card(net, manifest, "", None)
    settings = PredictSettings(batch_size=BATCH, read=ReadSettings(threads=workers))

    def ours() -> Any:
        with PatchPixels(manifest) as pixels:
            return predict(net, card, manifest, pixels, settings)

    few = manifest_of(path, BATCH)
    with PatchPixels(few) as pixels:
        predict(net, card, few, pixels, settings)
    plain_loop(net, few, 0, device)
    peer_wall, peer_cpu, peer = timed(lambda: plain_loop(net, manifest, workers, device))
    wall, cpu, said = timed(ours)
    most_off = float(np.abs(peer - said.probabilities).max())
    assert most_off < (0.05 if device.type == "cuda" else 0.01), f"answers differ by {most_off}"
    n = len(manifest)
    print(
        f"{path.name}: {n} patches of {PATCH} px, model {model}, {workers} readers, {said.device}, "
        f"load {os.getloadavg()[0]:.1f}, predictions differ by at most {most_off:.1e}"
    )
    print(f"  timm + DataLoader + PIL  {n / peer_wall:7.0f} patches/s   {n / peer_cpu:7.0f} per CPU second")
    print(f"  predict                  {n / wall:7.0f} patches/s   {n / cpu:7.0f} per CPU second")
    print(f"  ratio                    {peer_wall / wall:7.1f}x            {peer_cpu / cpu:7.1f}x")
    busy = "NOT MEASURED: no GPU here" if np.isnan(said.busy_share) else f"{100 * said.busy_share:.0f} %"
    print(f"  GPU busy                 {busy}")


def main() -> None:
    """Benchmark the given slides, or a drawn one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slides", nargs="*", type=Path)
    parser.add_argument("--model", default="tiny", help="tiny, timm:NAME or one of qupath-her2 models")
    parser.add_argument("--workers", type=int, default=2, help="reader threads here, worker processes there")
    parser.add_argument("--patches", type=int, default=1024, help="largest number of patches per slide")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path in options.slides or [draw_slide(Path(folder) / "drawn.tif")]:
            bench(path, options.model, options.workers, options.patches)


if __name__ == "__main__":
    main()
