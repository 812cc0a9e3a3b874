"""The trapezoidal LSTM against the paper's equations written out, a pixel at a time."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.models.tlstm import CORNERS, TrapezoidalLSTM  # noqa: E402


def literal(net: Any, maps: Any) -> Any:
    """Equations 3 to 7 of Saha & Chakraborty 2018, corner by corner, row by row, pixel by pixel."""
    n, _, height, width = maps.shape
    outputs = []
    for k, flips in enumerate(CORNERS):
        axes = [axis for axis, flip in zip((2, 3), flips, strict=True) if flip]
        turned = maps.flip(axes)
        w_xi, w_xf, w_xo, w_xc = net.weight_x[k].split(net.units, dim=1)
        w_hi, w_hf, w_ho, w_hc = net.weight_h[k].split(net.units, dim=1)
        b_i, b_f, b_o, b_c = net.bias[k].split(net.units)
        w_ci, w_cf, w_co = net.peephole[k]
        nothing = maps.new_zeros(n, net.units)
        hidden: dict[tuple[int, int], Any] = {}
        memory: dict[tuple[int, int], Any] = {}
        for i in range(height):
            for j in range(width):
                x = turned[:, :, i, j]
                h = torch.cat([hidden.get(p, nothing) for p in ((i - 1, j), (i, j - 1))], dim=1)
                c = (memory.get((i - 1, j), nothing) + memory.get((i, j - 1), nothing)) / 2
                admit = torch.sigmoid(x @ w_xi + h @ w_hi + w_ci * c + b_i)
                keep = torch.sigmoid(x @ w_xf + h @ w_hf + w_cf * c + b_f)
                memory[i, j] = keep * c + admit * torch.tanh(x @ w_xc + h @ w_hc + b_c)
                show = torch.sigmoid(x @ w_xo + h @ w_ho + w_co * memory[i, j] + b_o)
                hidden[i, j] = show * torch.tanh(memory[i, j])
        rows = [torch.stack([hidden[i, j] for j in range(width)], dim=2) for i in range(height)]
        outputs.append(torch.stack(rows, dim=2).flip(axes))
    return torch.cat(outputs, dim=1)


def drawn(channels: int = 3, units: int = 2, seed: int = 0) -> Any:
    """A net all of whose weights matter, peepholes and biases too."""
    torch.manual_seed(seed)
    net = TrapezoidalLSTM(channels, units)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.7)
    return net


@pytest.mark.parametrize(
    "shape", [(1, 3, 1, 1), (2, 3, 9, 9), (2, 3, 4, 11), (1, 3, 12, 5), (3, 3, 1, 6), (1, 3, 6, 1)]
)
def test_values_and_gradients_match_the_equations(shape: tuple[int, ...]) -> None:
    net = drawn()
    found = []
    for function in (net, lambda maps: literal(net, maps)):
        torch.manual_seed(1)
        maps = torch.randn(shape, requires_grad=True)
        weights = torch.randn(shape[0], 8, *shape[2:])
        net.zero_grad()
        output = function(maps)
        (output * weights).sum().backward()
        found.append([output.detach(), maps.grad, *(p.grad.clone() for p in net.parameters())])
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("k", range(4))
def test_a_pixel_depends_on_its_corner_only(k: int) -> None:
    net = drawn()
    maps = torch.randn(1, 3, 7, 9, requires_grad=True)
    net(maps)[0, 2 * k : 2 * k + 2, 3, 4].sum().backward()
    seen = maps.grad[0].abs().sum(dim=0) > 0
    expected = torch.zeros(7, 9, dtype=torch.bool)
    flip_rows, flip_columns = CORNERS[k]
    rows = slice(3, None) if flip_rows else slice(None, 4)
    columns = slice(4, None) if flip_columns else slice(None, 5)
    expected[rows, columns] = True
    assert torch.equal(seen, expected)


def test_the_farthest_corner_has_a_gradient_at_initialisation() -> None:
    torch.manual_seed(0)
    net = TrapezoidalLSTM(4, 8)
    maps = torch.randn(1, 4, 31, 31, requires_grad=True)
    net(maps)[0, :8, 30, 30].sum().backward()
    assert maps.grad[0, :, 0, 0].abs().max() > 1e-12


def test_half_precision_is_computed_in_float32() -> None:
    net = drawn()
    maps = torch.randn(1, 3, 40, 40)
    half = net(maps.half())
    assert half.dtype == torch.float16
    # Errors of the rounded input alone: the memories themselves are summed in float32.
    assert torch.allclose(half.float(), net(maps.half().float()), atol=1e-3)
