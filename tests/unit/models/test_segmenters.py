"""Her2Net against its paper, and behaviour common to all segmenters."""

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

NAMES = ("her2net", "unet", "segnet", "bayesian-segnet")


def small(name: str, n_classes: int = 3, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return build_model(name, n_classes, weights="random", width=4, **options)


def count(net: Any, kind: type, side: int) -> int:
    return sum(isinstance(m, kind) and m.kernel_size == (side, side) for m in net.modules())


def test_her2net_has_the_papers_layers(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 32), (63, 97), (251, 40)])
def test_output_size_is_input_size(name: str, size: tuple[int, int]) -> None:
    net = small(name, n_classes=2).eval()
    with torch.inference_mode():
        assert net(torch.randn(1, 3, *size)).shape == (1, 2, *size)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_descent_lowers_the_loss(name: str) -> None:
    net = small(name)
    torch.manual_seed(1)
    images = nn.functional.interpolate(torch.randn(2, 3, 6, 6), size=48)
    target = (images.mean(dim=1) > 0).long()
    steps = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        steps.zero_grad()
        loss = nn.functional.cross_entropy(net(images), target)
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_the_pyramid_upsamples_the_maxima_of_its_partitions() -> None:
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


def test_no_pretrained_weights_exist(tmp_path: Any) -> None:
    assert build_model("her2net", 3, width=4).weights_source == "random"
    with pytest.raises(ModelError, match="no pretrained part"):
        build_model("her2net", 3, width=4, weights=tmp_path / "x.safetensors")
    with pytest.raises(SettingsError, match="no option 'units'"):
        build_model("her2net", 3, units=4)
