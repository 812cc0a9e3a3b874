"""Her2Net: each pixel of a picture is membrane, nucleus or background (Saha & Chakraborty, IEEE TIP 27(5), 2018).

The paper draws the network in figure 5 and counts its parts in section III.I.1, but gives no widths. Its parts here,
for a picture of 251 px and ``width`` w = 32:

=================== ============ =========== ==========================================================================
part                side, px     channels    of the paper; what we chose
=================== ============ =========== ==========================================================================
convolution 1-4     251          w           section III.C, eq. 1; 3x3, edges padded, as figure 5 has output = input
max-pooling 1       125          w           section III.D; 2x2, remembers where each maximum was
convolution 5-8     125          2 w
max-pooling 2       62           2 w
convolution 9-12    62           4 w
spatial pyramid 1   62           4 w         section III.D; maxima of 1x1, 2x2 and 4x4 partitions (reference 52) are
                                             laid back over their partitions and joined to the map by a 1x1 layer
max-pooling 3       31           4 w
convolution 13-16   31           4 w
spatial pyramid 2   31           4 w
TLSTM 1             31           4 w         section III.I.1, figures 3 and 4, eq. 3-7; w units a corner, see `tlstm`
TLSTM 2             31           4 w         begins the deconvolution part ("the two ... in the transition phase")
dropout             31           4 w         section III.G; the rate, 0.5, is ours
deconvolution 1-4   31           4 w         section III.E; 3x3
up-sampling 1       62           4 w         section III.D, "reverse operation of max-pooling" that leaves "sparse
                                             activations": values return to where the maxima were (reference 54)
deconvolution 5-8   62           4 w, 2 w
up-sampling 2       125          2 w
deconvolution 9-12  125          2 w, w
up-sampling 3       251          w
deconvolution 13-16 251          w
fully connected     251          classes     section III.F, height and width 1; softmax (III.H) is in the loss
=================== ============ =========== ==========================================================================

Batch norm stands behind each convolution and deconvolution (section III.K names it). Then comes ReLU where the paper
has the logistic function (eq. 2): through 32 layers of that, whose slope is at most 1/4, nothing arrives at the first.
A picture of any size from 32 px is taken. Pyramids and TLSTMs see all of it, so predict in windows of about the size
trained on.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from qupath_her2.models.tlstm import TrapezoidalLSTM

__all__ = ["Her2Net", "Segmenter", "SpatialPyramid", "her2net"]

_PARTITIONS = (1, 2, 4)
_LAYERS_A_LEVEL = 4


class Segmenter(nn.Module):
    """What every segmenter says of itself; see `registry.build_model`. RGB in 0..1 is scaled to -1..1."""

    normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    cam_layer: str | None = None
    cam_prefix_tokens: int | None = None


class SpatialPyramid(nn.Module):
    """Join a map with the maxima of its partitions: whole, quarters, sixteenths (He et al. 2015)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.join = nn.Sequential(
            nn.Conv2d(channels * (1 + len(_PARTITIONS)), channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, C, H, W) of maps (N, C, H, W)."""
        size = maps.shape[2:]
        maxima = (functional.adaptive_max_pool2d(maps, n) for n in _PARTITIONS)
        levels = [functional.interpolate(partition, size=size) for partition in maxima]
        return self.join(torch.cat((maps, *levels), dim=1))


class Her2Net(Segmenter):
    """See the module's table; `width` is the w there."""

    def __init__(self, n_classes: int, width: int, dropout: float) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 4 * width)
        self.down = nn.ModuleList(
            _level(nn.Conv2d, before, after) for before, after in zip((3, *widths), widths, strict=False)
        )
        self.pyramids = nn.ModuleList((SpatialPyramid(widths[2]), SpatialPyramid(widths[3])))
        self.turn = nn.Sequential(
            TrapezoidalLSTM(widths[3], width), TrapezoidalLSTM(widths[3], width), nn.Dropout(dropout)
        )
        narrower = (widths[2], widths[1], widths[0], widths[0])
        self.up = nn.ModuleList(
            _level(nn.ConvTranspose2d, before, after)
            for before, after in zip(reversed(widths), narrower, strict=True)
        )
        self.classify = nn.Conv2d(widths[0], n_classes, kernel_size=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of normalised pictures (N, 3, H, W)."""
        maps, places, sizes = pictures, [], []
        for number, level in enumerate(self.down):
            maps = level(maps)
            if number >= 2:
                maps = self.pyramids[number - 2](maps)
            if number < len(self.down) - 1:
                sizes.append(maps.shape[2:])
                maps, place = functional.max_pool2d(maps, 2, return_indices=True)
                places.append(place)
        maps = self.up[0](self.turn(maps))
        for level, place, size in zip(self.up[1:], reversed(places), reversed(sizes), strict=True):
            maps = level(functional.max_unpool2d(maps, place, 2, output_size=list(size)))
        return self.classify(maps)


def _level(layer: type[nn.Module], before: int, after: int) -> nn.Sequential:
    """Return four layers of one size; the last of a deconvolution changes the channels, the first of a convolution."""
    channels = [before, *([after] * _LAYERS_A_LEVEL)]
    if layer is nn.ConvTranspose2d:
        channels = [*([before] * _LAYERS_A_LEVEL), after]
    parts: list[nn.Module] = []
    for one, other in itertools.pairwise(channels):
        conv = layer(one, other, kernel_size=3, padding=1, bias=False)
        # He's: torch's default would let the signal fade over 32 layers. A transposed layer's inputs are its "fan out".
        inputs = "fan_out" if layer is nn.ConvTranspose2d else "fan_in"
        nn.init.kaiming_normal_(conv.weight, mode=inputs, nonlinearity="relu")
        parts += [conv, nn.BatchNorm2d(other), nn.ReLU()]
    return nn.Sequential(*parts)


def her2net(n_classes: int, *, width: int, dropout: float) -> Her2Net:
    """Return Her2Net with `width` channels in its first layers and per corner of its TLSTMs."""
    return Her2Net(n_classes, width, dropout)
