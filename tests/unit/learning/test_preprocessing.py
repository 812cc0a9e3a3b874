from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from qupath_her2.learning.preprocessing import Preparation
from qupath_her2.models.settings import AugmentSettings
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.slides.stains.jitter import JitterSettings


def test_input_is_scaled_to_the_networks_mean_and_deviation(
    drawn: PatchManifest, pixels: PatchPixels
) -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    rows = np.array([5, 250])
    patches = pixels.read(rows)
    got = Preparation(drawn, mean, std)(torch.from_numpy(patches), rows)
    wanted = (patches / 255 - np.array(mean)) / np.array(std)
    assert np.allclose(got.numpy(), wanted.transpose(0, 3, 1, 2), atol=1e-5)
    assert got.is_contiguous(memory_format=torch.channels_last)


def test_preprocessing_can_alternate_between_inference_and_gradients(
    drawn: PatchManifest, pixels: PatchPixels
) -> None:
    preparation = Preparation(drawn, (0, 0, 0), (1, 1, 1))
    rows = np.arange(4)
    patches = torch.from_numpy(pixels.read(rows))
    with torch.inference_mode():
        first = preparation(patches, rows).clone()
    again = preparation(patches[:2], rows[:2]).requires_grad_(True)
    (again**2).sum().backward()
    assert again.grad is not None
    assert torch.allclose(again.grad, 2 * first[:2])


def test_augmentation_depends_on_seed_epoch_and_row_alone(drawn: PatchManifest, pixels: PatchPixels) -> None:
    rows = np.arange(30)
    patches = torch.from_numpy(pixels.read(rows))
    settings = AugmentSettings(angle_deg=20, stains=JitterSettings())

    def prepared(seed: int, epoch: int, which: NDArray[np.int64]) -> torch.Tensor:
        preparation = Preparation(drawn, (0, 0, 0), (1, 1, 1), augment=settings, seed=seed)
        return preparation(patches[which], rows[which], epoch)

    every = np.arange(30)
    assert torch.equal(prepared(1, 2, every), prepared(1, 2, every))
    assert torch.allclose(prepared(1, 2, every)[7:9], prepared(1, 2, every[7:9]), atol=1e-6)
    assert not torch.allclose(prepared(1, 2, every), prepared(1, 3, every), atol=0.01)
    assert not torch.allclose(prepared(1, 2, every), prepared(2, 2, every), atol=0.01)
