"""Trapezoidal LSTM of Her2Net: each pixel reads the picture from all four corners (Saha & Chakraborty 2018, fig. 4).

Of a map (N, C, H, W), one LSTM a corner runs over all pixels, away from its corner; g counts the diagonals it passes,
so that a pixel on diagonal g sees its two neighbours towards the corner, both on diagonal g - 1 ("two directions" of
section III.I.1), and through them a trapezoid of the picture at 45°. With the paper's equations 3 to 7::

    I = σ(W_XI X + W_HI H' + w_CI C' + b_I)        input gate      (3)
    F = σ(W_XF X + W_HF H' + w_CF C' + b_F)        forget gate     (4)
    C = F C' + I tanh(W_XC X + W_HC H' + b_C)      memory          (5)
    O = σ(W_XO X + W_HO H' + w_CO C + b_O)         output gate     (6)
    H = O tanh(C)                                  output          (7)

The paper has one H' and one C' = (H, C) on g - 1, and leaves open how two neighbours become one. Here H' is both of
them, each with weights of its own; C' is their mean: with a sum, memories would double at each diagonal wherever the
forget gates stand open. Beyond the edge both are 0. The peephole weights w are one a unit (Graves et al. 2013).

Pixels of a diagonal do not see each other, so H + W - 1 steps do for H x W pixels; the four corners are one batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CORNERS", "TrapezoidalLSTM"]

#: Corners as (flip of rows, flip of columns) that bring them to the top left.
CORNERS = ((False, False), (False, True), (True, False), (True, True))


class TrapezoidalLSTM(nn.Module):
    """Four LSTMs, one from each corner, `units` each; the output has 4 x `units` channels, in the order of `CORNERS`.

    `weight_x` (4, C, 4 U), `weight_h` (4, 2 U, 4 U: first the neighbour above, then the one to the left, as seen with
    the corner at the top left), `peephole` (4, 3, U: I, F, O), `bias` (4, 4 U); gates in the order I, F, O, C.
    """

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.units = units
        bound = units**-0.5
        self.weight_x = nn.Parameter(torch.empty(4, channels, 4 * units).uniform_(-bound, bound))
        self.weight_h = nn.Parameter(torch.empty(4, 2 * units, 4 * units).uniform_(-bound, bound))
        self.peephole = nn.Parameter(torch.empty(4, 3, units).uniform_(-bound, bound))
        # Forget gates begin open, so that the far corner is heard before anything is learnt.
        self.bias = nn.Parameter(torch.zeros(4, 4 * units))
        with torch.no_grad():
            self.bias[:, units : 2 * units] = 1.0

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, 4 units, H, W) of maps (N, C, H, W), in float32 at heart: memories add up over a picture."""
        with torch.autocast(maps.device.type, enabled=False):
            return self._forward(maps.float()).to(maps.dtype)

    def _forward(self, maps: Tensor) -> Tensor:
        n, channels, height, width = maps.shape
        order, lengths = _diagonals(height, width, maps.device)
        pixels = maps.flatten(2).permute(0, 2, 1)
        # (4, pixels by diagonal, N, C): the pixels of a diagonal, and all pictures, are one block of memory.
        turned = torch.stack([pixels[:, corner].transpose(0, 1) for corner in order])
        gates = torch.baddbmm(
            self.bias[:, None], turned.reshape(4, height * width * n, channels), self.weight_x
        )
        states = self._scan(gates.reshape(4, height * width, n, 4 * self.units), lengths, height, width)
        back = torch.stack([state[corner.argsort()] for state, corner in zip(states, order, strict=True)])
        return back.permute(2, 0, 3, 1).reshape(n, 4 * self.units, height, width)

    def _scan(self, gates: Tensor, lengths: list[int], height: int, width: int) -> Tensor:
        """Return H (4, pixels by diagonal, N, U) from what X and the biases give the gates (…, 4 U)."""
        units = self.units
        peephole = self.peephole[:, None, None]
        hidden = memory = gates.new_zeros(4, 1, gates.shape[2], units)
        outputs = []
        low_before = 0
        # Split at once: as slices, each step's gradient would be as large as the whole map.
        for g, now in enumerate(gates.split(lengths, dim=1)):
            low = max(0, g - width + 1)
            first, length = low - low_before, lengths[g]
            # One empty pixel at either end of the diagonal before stands for the picture's edge.
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
    """Return, a corner, the flat pixels of its diagonals one after the other, and how many each diagonal has."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = (rows + columns).flatten()
    # Sorted by distance, and within a diagonal from its top pixel down.
    order = torch.argsort(distance * height + rows.flatten())
    flat = torch.arange(height * width).reshape(height, width)
    corners = []
    for flip_rows, flip_columns in CORNERS:
        axes = [axis for axis, flip in ((0, flip_rows), (1, flip_columns)) if flip]
        corners.append(flat.flip(axes).flatten()[order].to(device))
    return corners, torch.bincount(distance).tolist()
