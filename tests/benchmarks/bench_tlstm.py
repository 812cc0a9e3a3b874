"""The trapezoidal LSTM compared with its equations as a loop over pixels: same values, forward and backward.

``python -m tests.benchmarks.bench_tlstm [side] [units]`` prints both times (CPU seconds of one thread) and the ratio.
The loop runs its four corners one after the other, each with its own backward pass, to save memory.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from qupath_her2.models.tlstm import CORNERS, TrapezoidalLSTM


def literal_corner(net: Any, maps: Any, k: int) -> Any:
    """Return H of corner `k` by equations 3 to 7 of Saha & Chakraborty 2018, pixel by pixel."""
    n, _, height, width = maps.shape
    axes = [axis for axis, flip in zip((2, 3), CORNERS[k], strict=True) if flip]
    turned = maps.flip(axes).permute(2, 3, 0, 1).unbind(0)
    w_xi, w_xf, w_xo, w_xc = net.weight_x[k].split(net.units, dim=1)
    w_hi, w_hf, w_ho, w_hc = net.weight_h[k].split(net.units, dim=1)
    b_i, b_f, b_o, b_c = net.bias[k].split(net.units)
    w_ci, w_cf, w_co = net.peephole[k].unbind(0)
    nothing = maps.new_zeros(n, net.units)
    above = [(nothing, nothing)] * width
    rows = []
    for i in range(height):
        pixels = turned[i].unbind(0)
        left = (nothing, nothing)
        for j in range(width):
            x = pixels[j]
            h = torch.cat((above[j][0], left[0]), dim=1)
            c = (above[j][1] + left[1]) / 2
            admit = torch.sigmoid(x @ w_xi + h @ w_hi + w_ci * c + b_i)
            keep = torch.sigmoid(x @ w_xf + h @ w_hf + w_cf * c + b_f)
            c = keep * c + admit * torch.tanh(x @ w_xc + h @ w_hc + b_c)
            show = torch.sigmoid(x @ w_xo + h @ w_ho + w_co * c + b_o)
            left = (show * torch.tanh(c), c)
            above[j] = left
        rows.append(torch.stack([h for h, _ in above], dim=2))
    return torch.stack(rows, dim=2).flip(axes)


def timed(net: Any, maps: Any, function: Callable[[], Any], weights: Any) -> tuple[Any, float]:
    """Run forward and backward; return the output and the CPU seconds."""
    start = time.process_time()
    output = function()
    (output * weights).sum().backward()
    return output.detach(), time.process_time() - start


def main(side: int = 251, units: int = 32) -> None:
    """Print the times, the ratio and the largest differences."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net: Any = TrapezoidalLSTM(4 * units, units)
    maps = torch.randn(1, 4 * units, side, side, requires_grad=True)
    weights = torch.randn(1, 4 * units, side, side) / side
    timed(net, maps, lambda: net(maps), weights)
    grads = []
    times = []
    outputs: list[Any] = []
    for kind in ("diagonals", "loop"):
        net.zero_grad()
        maps.grad = None
        if kind == "diagonals":
            output, seconds = timed(net, maps, lambda: net(maps), weights)
        else:
            parts, seconds = [], 0.0
            for k in range(4):
                own = weights[:, k * units : (k + 1) * units]
                part, more = timed(net, maps, lambda k=k: literal_corner(net, maps, k), own)
                parts.append(part)
                seconds += more
            output = torch.cat(parts, dim=1)
        outputs.append(output)
        times.append(seconds)
        grads.append([maps.grad.clone(), *(p.grad.clone() for p in net.parameters())])
        print(f"{kind:<10} {side} x {side} px, {4 * units} channels: {seconds:8.2f} s", flush=True)
    apart = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*grads, strict=True))
    values = float((outputs[0] - outputs[1]).abs().max())
    print(
        f"ratio {times[1] / times[0]:.0f}; values differ by {values:.1e}, gradients by {apart:.1e} of their largest"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
