"""Grad-CAM of networks with known evidence: their only input that matters is a brown square."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qupath_her2.errors import ModelError
from qupath_her2.learning.inference.grad_cam import explain, heat_overlay
from qupath_her2.learning.preprocessing import Preparation
from qupath_her2.patches.manifest import PatchManifest

SIDE = 64
BROWN = (120, 80, 40)


class BrownNet(nn.Module):
    """Class 1 is "more red than blue somewhere", class 0 the opposite: two channels of one convolution.

    `tokens` lays its map out as a transformer does, after `prefix` tokens without information.
    """

    model_name = "known answer"
    n_classes = 2

    def __init__(self, tokens: bool, prefix: int = 2) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 3, 8, 8, bias=False)
        weight = torch.zeros(3, 3, 8, 8)
        # Channel 0: blue over red. Channel 1: red over blue. Channel 2: brightness, which no class asks for.
        weight[0, 2], weight[0, 0] = 1 / 64, -1 / 64
        weight[1, 0], weight[1, 2] = 1 / 64, -1 / 64
        weight[2] = 1 / 192
        self.patch.weight = nn.Parameter(weight)
        self.read = nn.Identity()
        self.cam_layer: str | None = "read"
        self.cam_prefix_tokens = prefix if tokens else None

    def forward(self, patches: Tensor) -> Tensor:
        maps = self.patch(patches)
        if self.cam_prefix_tokens is not None:
            blank = maps.new_zeros(len(maps), self.cam_prefix_tokens, 3)
            tokens = self.read(torch.cat([blank, maps.flatten(2).transpose(1, 2)], 1))
            return tokens[:, self.cam_prefix_tokens :, :2].relu().mean(1)
        # In place, as networks of torch do: what was kept must not be overwritten.
        return self.read(maps).relu_()[:, :2].mean((2, 3))


def with_square(x: int, y: int, size: int = 10) -> NDArray[np.uint8]:
    """A patch of slightly blue tissue with one brown square."""
    rng = np.random.default_rng(0)
    patch = np.full((SIDE, SIDE, 3), (200, 190, 215)) + rng.integers(-3, 4, (SIDE, SIDE, 3))
    patch[y : y + size, x : x + size] = BROWN
    return patch.astype(np.uint8)


@pytest.fixture
def prepare(drawn: PatchManifest) -> Preparation:
    return Preparation(drawn, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.mark.parametrize("tokens", [False, True])
def test_the_peak_lies_on_the_evidence(prepare: Preparation, tokens: bool) -> None:
    corners = [(4, 6), (44, 8), (20, 48), (50, 50)]
    patches = np.stack([with_square(x, y) for x, y in corners])
    net = BrownNet(tokens)
    heat, strength = explain(net, patches, prepare, np.arange(4), np.ones(4, np.int16))
    assert heat.shape == (4, SIDE, SIDE)
    assert heat.max(axis=(1, 2)).tolist() == pytest.approx([1.0] * 4)
    assert (heat >= 0).all()
    assert (strength > 0).all()
    for (x, y), one in zip(corners, heat, strict=True):
        at_y, at_x = np.unravel_index(one.argmax(), one.shape)
        # A token is 8 px wide.
        assert abs(at_x - (x + 4.5)) <= 8
        assert abs(at_y - (y + 4.5)) <= 8
        far = np.hypot(*(np.mgrid[:SIDE, :SIDE] - np.array([y + 4.5, x + 4.5])[:, None, None])) > 24
        assert one[far].max() < 0.05


@pytest.mark.parametrize("tokens", [False, True])
def test_the_requested_class_is_explained(prepare: Preparation, tokens: bool) -> None:
    patch = with_square(10, 10)[None]
    for_blue, _ = explain(BrownNet(tokens), patch, prepare, np.arange(1), np.zeros(1, np.int16))
    assert for_blue[0, 12:18, 12:18].mean() < 0.3 < for_blue[0, 40:, 40:].mean()
    brown_only = np.full((1, SIDE, SIDE, 3), BROWN, np.uint8)
    nothing, strength = explain(BrownNet(tokens), brown_only, prepare, np.arange(1), np.zeros(1, np.int16))
    assert nothing.max() == 0
    assert strength[0] == 0


def test_without_a_class_the_predicted_one_is_explained(prepare: Preparation) -> None:
    patches = np.stack([with_square(10, 10, 44), with_square(10, 10, 4)])
    net = BrownNet(False)
    chosen, _ = explain(net, patches, prepare, np.arange(2))
    asked, _ = explain(net, patches, prepare, np.arange(2), np.array([1, 0], np.int16))
    assert np.array_equal(chosen, asked)


def test_a_network_without_a_feature_map_is_refused(prepare: Preparation) -> None:
    net = BrownNet(False)
    net.cam_layer = None
    with pytest.raises(ModelError, match="'known answer' has no feature map for Grad-CAM"):
        explain(net, with_square(0, 0)[None], prepare, np.arange(1))


@pytest.mark.parametrize(
    ("name", "options"),
    [("timm:test_resnet", {}), ("timm:test_convnext", {}), ("timm:test_vit", {"input_px": SIDE})],
)
def test_registered_networks_can_be_explained(
    prepare: Preparation, tiny_net: Callable[..., Any], name: str, options: dict[str, int]
) -> None:
    net = tiny_net(name, **options)
    net.requires_grad_(False)
    heat, _ = explain(net, with_square(8, 8)[None].repeat(3, axis=0), prepare, np.arange(3))
    assert heat.shape == (3, SIDE, SIDE)
    assert np.isfinite(heat).all()
    assert np.allclose(heat[0], heat[2], atol=1e-4)
    assert len(net._forward_hooks) == 0


def test_the_overlay_is_transparent_without_heat() -> None:
    patch = with_square(20, 20)
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[10:30, 10:30] = 1
    drawn = heat_overlay(patch, heat, 0.6)
    assert drawn.dtype == np.uint8
    assert np.array_equal(drawn[40:], patch[40:])
    assert np.abs(drawn[10:30, 10:30].astype(int) - patch[10:30, 10:30]).min() > 2
