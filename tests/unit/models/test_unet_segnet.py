"""U-Net, SegNet and Bayesian SegNet against their papers, and Monte Carlo dropout against its definition."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from torch import nn  # noqa: E402

from qupath_her2.models.registry import build_model  # noqa: E402
from qupath_her2.models.unet_segnet import dropout_sample, monte_carlo_dropout  # noqa: E402


def small(name: str) -> Any:
    torch.manual_seed(0)
    return build_model(name, 3, weights="random", width=4)


def test_segnet_mirrors_the_layers_of_vgg() -> None:
    net = small("segnet")
    channels = [(m.in_channels, m.out_channels) for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert len(channels) == 26
    assert [a for a, _ in channels[1:]] == [b for _, b in channels[:-1]]
    widths = [a for a, _ in channels]
    assert widths[1:14] == widths[:12:-1]


def test_unet_has_23_convolutions() -> None:
    """Ronneberger et al. 2015: "In total the network has 23 convolutional layers", up-convolutions among them."""
    net = small("unet")
    assert sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in net.modules()) == 23


def test_monte_carlo_dropout_is_the_mean_and_variance_over_samples() -> None:
    net = small("bayesian-segnet")
    images = torch.randn(1, 3, 40, 40)
    torch.manual_seed(3)
    mean, variance = monte_carlo_dropout(net, images, samples=5)
    assert not any(m.training for m in net.modules())
    torch.manual_seed(3)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    with torch.inference_mode():
        nets = torch.stack([net(images).softmax(dim=1) for _ in range(5)])
    assert torch.allclose(mean, nets.mean(dim=0), atol=1e-6)
    assert torch.allclose(variance, nets.var(dim=0, correction=0), atol=1e-6)
    assert variance.max() > 0
    assert torch.allclose(mean.sum(dim=1), torch.ones(1, 40, 40), atol=1e-5)


def test_a_dropout_sample_is_the_same_for_every_image() -> None:
    net = small("bayesian-segnet").eval()
    images = torch.randn(4, 3, 40, 40)
    with torch.inference_mode():
        whole = net(images)
        with dropout_sample(net, seed=5):
            together = net(images)
        with dropout_sample(net, seed=5):
            alone = torch.cat([net(image[None]) for image in images])
        with dropout_sample(net, seed=6):
            other = net(images)
        assert torch.allclose(net(images), whole), "it stays drawn"
    assert torch.allclose(together, alone, atol=1e-4)
    assert not torch.allclose(together, whole, atol=1e-2)
    assert not torch.allclose(together, other, atol=1e-2)


def test_dropout_samples_drop_and_scale_as_dropout_does() -> None:
    net = nn.Sequential(nn.Dropout(0.25)).eval()
    ones = torch.ones(1, 8, 16, 16)
    drawn = []
    for seed in range(40):
        with dropout_sample(net, seed):
            drawn.append(net(ones))
    found = torch.cat(drawn)
    assert found.unique().tolist() == pytest.approx([0, 4 / 3])
    assert found.mean().item() == pytest.approx(1, abs=0.02)
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_a_network_without_dropout_has_no_variance() -> None:
    _, variance = monte_carlo_dropout(small("segnet"), torch.randn(1, 3, 32, 32), samples=3)
    assert variance.max() == 0


def test_bayesian_segnet_has_dropout_in_the_three_deepest_levels() -> None:
    net = small("bayesian-segnet")
    assert sum(isinstance(m, nn.Dropout) and m.p == 0.5 for m in net.modules()) == 6
