"""Training script for tests in separate processes: PATCHES OUT [MODEL]."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from qupath_her2.learning.train.loop import train
from qupath_her2.models.registry import build_model
from qupath_her2.models.settings import AugmentSettings, ReadSettings, ScheduleSettings, TrainSettings
from qupath_her2.patches.manifest import read_manifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels

#: The default model has no batch norm, whose batches would differ between one process and two.
SETTINGS = TrainSettings(
    epochs=6,
    batch_size=8,
    optimiser="sgd",
    schedule=ScheduleSettings("cosine", learning_rate=0.05),
    augment=AugmentSettings(angle_deg=10),
    read=ReadSettings(threads=2),
    device="cpu",
    save_every_steps=1,
)


def main(patches: str, out: str, model: str = "timm:test_convnext") -> None:
    torch.set_num_threads(1)
    manifest = read_manifest(Path(patches))
    torch.manual_seed(0)
    net = build_model(model, len(manifest.class_names), weights="random")
    with PatchPixels(manifest) as pixels:
        train(net, manifest, pixels, SETTINGS, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
