from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from torch import nn  # noqa: E402

from qupath_her2.errors import ModelError, SettingsError  # noqa: E402
from qupath_her2.models.registry import build_model  # noqa: E402
from qupath_her2.models.segmenters import SpatialPyramid  # noqa: E402
from qupath_her2.models.tlstm import TrapezoidalLSTM  # noqa: E402
from qupath_her2.models.unet_segnet import drawn_net, monte_carlo  # noqa: E402

NAMES = ("her2net", "unet", "segnet", "bayesian-segnet")


def small(name: str, n_classes: int = 3, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return build_model(name, n_classes, weights="random", width=4, **options)


def count(net: Any, kind: type, side: int) -> int:
    return sum(isinstance(m, kind) and m.kernel_size == (side, side) for m in net.modules())


def test_her2net_has_the_papers_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    net = small("her2net")
    assert count(net, nn.Conv2d, 3) == 16
    assert count(net, nn.ConvTranspose2d, 3) == 16
    assert sum(isinstance(m, SpatialPyramid) for m in net.modules()) == 2
    assert sum(isinstance(m, TrapezoidalLSTM) for m in net.modules()) == 2
    assert sum(isinstance(m, nn.Dropout) for m in net.modules()) == 1
    assert net.classify.kernel_size == (1, 1)
    called: list[str] = []
    for name in ("max_pool2d", "max_unpool2d"):
        real = getattr(nn.functional, name)
        monkeypatch.setattr(
            nn.functional, name, lambda *a, _r=real, _n=name, **k: (called.append(_n), _r(*a, **k))[1]
        )
    net(torch.randn(1, 3, 64, 64))
    assert called == ["max_pool2d"] * 3 + ["max_unpool2d"] * 3


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 32), (63, 97), (251, 40)])
def test_any_size_comes_out_as_it_went_in(name: str, size: tuple[int, int]) -> None:
    net = small(name, n_classes=2).eval()
    with torch.inference_mode():
        assert net(torch.randn(1, 3, *size)).shape == (1, 2, *size)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_downhill_lowers_the_loss_on_its_picture(name: str) -> None:
    net = small(name)
    torch.manual_seed(1)
    pictures = nn.functional.interpolate(torch.randn(2, 3, 6, 6), size=48)
    target = (pictures.mean(dim=1) > 0).long()
    steps = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        steps.zero_grad()
        loss = nn.functional.cross_entropy(net(pictures), target)
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_the_pyramid_lays_maxima_back_over_their_partitions() -> None:
    pyramid = SpatialPyramid(1).eval()
    with torch.no_grad():
        for k in range(4):
            pyramid.join[0].weight.zero_()
            pyramid.join[0].weight[0, k] = 1.0
            maps = torch.rand(1, 1, 9, 14)
            out = pyramid(maps) * (1 + pyramid.join[1].eps) ** 0.5
            n = (0, 1, 2, 4)[k]
            for i in range(9):
                for j in range(14):
                    if n == 0:
                        expected = maps[0, 0, i, j]
                    else:
                        a, b = i * n // 9, j * n // 14
                        rows = slice(a * 9 // n, -(-(a + 1) * 9 // n))
                        expected = maps[0, 0, rows, b * 14 // n : -(-(b + 1) * 14 // n)].max()
                    assert abs(out[0, 0, i, j] - expected) < 1e-5


def test_monte_carlo_is_the_mean_and_variance_of_drawn_nets() -> None:
    net = small("bayesian-segnet")
    pictures = torch.randn(1, 3, 40, 40)
    torch.manual_seed(3)
    mean, variance = monte_carlo(net, pictures, samples=5)
    assert not any(m.training for m in net.modules())
    torch.manual_seed(3)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    with torch.inference_mode():
        nets = torch.stack([net(pictures).softmax(dim=1) for _ in range(5)])
    assert torch.allclose(mean, nets.mean(dim=0), atol=1e-6)
    assert torch.allclose(variance, nets.var(dim=0, correction=0), atol=1e-6)
    assert variance.max() > 0
    assert torch.allclose(mean.sum(dim=1), torch.ones(1, 40, 40), atol=1e-5)


def test_a_drawn_net_is_one_net_for_every_picture() -> None:
    net = small("bayesian-segnet").eval()
    pictures = torch.randn(4, 3, 40, 40)
    with torch.inference_mode():
        whole = net(pictures)
        with drawn_net(net, seed=5):
            together = net(pictures)
        with drawn_net(net, seed=5):
            alone = torch.cat([net(picture[None]) for picture in pictures])
        with drawn_net(net, seed=6):
            other = net(pictures)
        assert torch.allclose(net(pictures), whole), "it stays drawn"
    assert torch.allclose(together, alone, atol=1e-4)
    assert not torch.allclose(together, whole, atol=1e-2)
    assert not torch.allclose(together, other, atol=1e-2)


def test_drawn_nets_switch_off_and_scale_up_as_dropout_does() -> None:
    net = nn.Sequential(nn.Dropout(0.25)).eval()
    ones = torch.ones(1, 8, 16, 16)
    drawn = []
    for seed in range(40):
        with drawn_net(net, seed):
            drawn.append(net(ones))
    found = torch.cat(drawn)
    assert found.unique().tolist() == pytest.approx([0, 4 / 3])
    assert found.mean().item() == pytest.approx(1, abs=0.02)
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_a_net_without_dropout_is_sure_of_itself() -> None:
    _, variance = monte_carlo(small("segnet"), torch.randn(1, 3, 32, 32), samples=3)
    assert variance.max() == 0


def test_bayesian_segnet_drops_in_the_three_deepest_levels() -> None:
    net = small("bayesian-segnet")
    assert sum(isinstance(m, nn.Dropout) and m.p == 0.5 for m in net.modules()) == 6


def test_nothing_pretrained_is_promised(tmp_path: Any) -> None:
    assert build_model("her2net", 3, width=4).weights_source == "random"
    with pytest.raises(ModelError, match="no pretrained part"):
        build_model("her2net", 3, width=4, weights=tmp_path / "x.safetensors")
    with pytest.raises(SettingsError, match="no option 'units'"):
        build_model("her2net", 3, units=4)
