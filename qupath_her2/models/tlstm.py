"""Trapezoidal LSTM of Her2Net: every pixel gets context from all four corners (Saha & Chakraborty 2018, fig. 4).

For each corner of a feature map (N, C, H, W), an LSTM scans all pixels away from that corner, diagonal by diagonal. A
pixel on diagonal g sees its two neighbours towards the corner, both on diagonal g - 1 ("two directions" of section
III.I.1), and through them a trapezoid of the image at 45°. The paper's equations 3 to 7 are::

    I = σ(W_XI X + W_HI H' + w_CI C' + b_I)        input gate      (3)
    F = σ(W_XF X + W_HF H' + w_CF C' + b_F)        forget gate     (4)
    C = F C' + I tanh(W_XC X + W_HC H' + b_C)      memory          (5)
    O = σ(W_XO X + W_HO H' + w_CO C + b_O)         output gate     (6)
    H = O tanh(C)                                  output          (7)

The paper writes one H' and one C' = (H, C) on g - 1 and leaves open how two neighbours become one. Here H' is the
concatenation of both, each with its own weights; C' is their mean: with a sum, memories would double on every diagonal
wherever the forget gates are open. Outside the image both are 0. There is one peephole weight w per unit (Graves et
al. 2013).

Pixels of one diagonal do not depend on each other, so H x W pixels take H + W - 1 steps; the four corners are computed
as one batch. Own code: torch's LSTM scans sequences, not the diagonals of an image, and has no peepholes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CORNERS", "TrapezoidalLSTM"]

#: Corners as (flip rows, flip columns): the flips that move the corner to the top left.
CORNERS = ((False, False), (False, True), (True, False), (True, True))


class TrapezoidalLSTM(nn.Module):
    """Four LSTMs, one from each corner, with `units` each; 4 x `units` output channels, in the order of `CORNERS`.

    `weight_x` (4, C, 4 U), `weight_h` (4, 2 U, 4 U: first the neighbour above, then the left one, with the corner at
    the top left), `peephole` (4, 3, U: I, F, O), `bias` (4, 4 U); gates in the order I, F, O, C.
    """

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.units = units
        bound = units**-0.5
        self.weight_x = nn.Parameter(torch.empty(4, channels, 4 * units).uniform_(-bound, bound))
        self.weight_h = nn.Parameter(torch.empty(4, 2 * units, 4 * units).uniform_(-bound, bound))
        self.peephole = nn.Parameter(torch.empty(4, 3, units).uniform_(-bound, bound))
        # Forget gates start open, so that gradients reach the far corner from the first step on.
        self.bias = nn.Parameter(torch.zeros(4, 4 * units))
        with torch.no_grad():
            self.bias[:, units : 2 * units] = 1.0

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, 4 units, H, W) for a feature map (N, C, H, W); computed in float32, as memories add up over it."""
        with torch.autocast(maps.device.type, enabled=False):
            return self._forward(maps.float()).to(maps.dtype)

    def _forward(self, maps: Tensor) -> Tensor:
        n, channels, height, width = maps.shape
        order, lengths = _diagonals(height, width, maps.device)
        pixels = maps.flatten(2).permute(0, 2, 1)
        # (4, pixels by diagonal, N, C): the pixels of one diagonal, of all images, are contiguous in memory.
        turned = torch.stack([pixels[:, corner].transpose(0, 1) for corner in order])
        # The inputs' part of all gates does not depend on the recursion: one matrix product for the whole map.
        gates = torch.baddbmm(
            self.bias[:, None], turned.reshape(4, height * width * n, channels), self.weight_x
        )
        states = self._scan(gates.reshape(4, height * width, n, 4 * self.units), lengths, height, width)
        back = torch.stack([state[corner.argsort()] for state, corner in zip(states, order, strict=True)])
        return back.permute(2, 0, 3, 1).reshape(n, 4 * self.units, height, width)

    def _scan(self, gates: Tensor, lengths: list[int], height: int, width: int) -> Tensor:
        """Return H (4, pixels by diagonal, N, U), given the inputs' and biases' part of the gates (…, 4 U)."""
        units = self.units
        peephole = self.peephole[:, None, None]
        hidden = memory = gates.new_zeros(4, 1, gates.shape[2], units)
        outputs = []
        low_before = 0
        # Split beforehand: the gradient of a slice taken in the loop would be as large as the whole map, every step.
        for g, now in enumerate(gates.split(lengths, dim=1)):
            # Row of the diagonal's top pixel: 0, until the diagonal leaves the right edge.
            low = max(0, g - width + 1)
            first, length = low - low_before, lengths[g]
            # One empty pixel at either end of the previous diagonal stands for the outside of the image.
            hidden, memory = (functional.pad(state, (0, 0, 0, 0, 1, 1)) for state in (hidden, memory))
            above, left = slice(first, first + length), slice(first + 1, first + 1 + length)
            both = torch.cat((hidden[:, above], hidden[:, left]), dim=-1).flatten(1, 2)
            memory = (memory[:, above] + memory[:, left]) * 0.5
            total = torch.baddbmm(now.flatten(1, 2), both, self.weight_h).reshape(*now.shape[:3], 4, units)
            admit, keep = torch.sigmoid(
                torch.addcmul(total[..., :2, :], memory[..., None, :], peephole[..., :2, :])
            ).unbind(-2)
            memory = torch.addcmul(keep * memory, admit, torch.tanh(total[..., 3, :]))
            show = torch.sigmoid(torch.addcmul(total[..., 2, :], memory, peephole[..., 2, :]))
            hidden = show * torch.tanh(memory)
            outputs.append(hidden)
            low_before = low
        return torch.cat(outputs, dim=1)


def _diagonals(height: int, width: int, device: torch.device) -> tuple[list[Tensor], list[int]]:
    """Return for each corner the flat pixel indices in order of its diagonals, and the length of each diagonal."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = (rows + columns).flatten()
    # Sorted by diagonal, and from top to bottom within one.
    order = torch.argsort(distance * height + rows.flatten())
    flat = torch.arange(height * width).reshape(height, width)
    corners = []
    for flip_rows, flip_columns in CORNERS:
        axes = [axis for axis, flip in ((0, flip_rows), (1, flip_columns)) if flip]
        corners.append(flat.flip(axes).flatten()[order].to(device))
    return corners, torch.bincount(distance).tolist()
