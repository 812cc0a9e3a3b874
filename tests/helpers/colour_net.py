"""A segmenter with known output: it assigns each pixel to the nearest of three colours; and images in these colours.

The nearest of several points maximises ``2 c . x - |c|^2``, which is linear in the colour x: a U-Net whose first skip
passes the colour through, and whose last layer computes these sums, decides exactly so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.models.card import ModelCard
from qupath_her2.models.checkpoint import save_checkpoint
from qupath_her2.models.registry import build_model
from qupath_her2.patches.targets.targets import IGNORE, TARGET_CLASSES
from qupath_her2.patches.targets.truth_targets import truth_target
from qupath_her2.synthetic.field import Field

__all__ = ["COLOURS", "CARD", "colour_net", "flat_picture", "save_colour_net"]

#: Background, membrane, nucleus: glass, and about 0.6 OD of DAB and 0.35 of haematoxylin on it.
COLOURS = np.array([[240, 240, 242], [142, 108, 84], [134, 138, 180]], np.uint8)

#: Card of a network for windows of 96 px at 0.25 µm/px.
CARD = ModelCard(
    model="unet",
    class_names=TARGET_CLASSES,
    task="segmentation",
    pixel_size_um=0.25,
    patch_size_px=96,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)

_SHARPNESS = 40.0


def colour_net(sharpness: float = _SHARPNESS) -> Any:
    """Return a U-Net of width 3 that assigns each pixel to the nearest of `COLOURS`."""
    import torch

    net = build_model("unet", len(TARGET_CLASSES), weights="random", width=3)
    same = torch.zeros((3, 3, 3, 3))
    for channel in range(3):
        same[channel, channel, 1, 1] = 1
    with torch.no_grad():
        first, second = net.down[0][0], net.down[0][3]
        first.weight.copy_(same)
        second.weight.copy_(same)
        # Colours in -1..1 are shifted above 0, where ReLU leaves them unchanged.
        net.down[0][1].bias.fill_(1)
        last = net.up[-1]
        last[0].weight.zero_()
        last[0].weight[:, :3].copy_(same)
        last[3].weight.copy_(same)
        points = torch.from_numpy(COLOURS.astype(np.float32)) / 127.5
        net.classify.weight.copy_((2 * sharpness * points)[:, :, None, None])
        net.classify.bias.copy_(-sharpness * (points**2).sum(1))
    return net.eval()


def save_colour_net(path: Path, sharpness: float = _SHARPNESS, **card: Any) -> ModelCard:
    """Save `colour_net` as a checkpoint; `card` replaces fields of its card."""
    return save_checkpoint(path, colour_net(sharpness), replace(CARD, **card))


def flat_picture(field: Field) -> NDArray[np.uint8]:
    """Return a field painted in `COLOURS` by its true classes: nucleus, membrane and background."""
    target = truth_target(field)
    return COLOURS[np.where(target == IGNORE, 0, target)]
