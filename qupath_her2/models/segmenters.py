"""Her2Net: semantic segmentation into membrane, nucleus and background (Saha & Chakraborty, IEEE TIP 27(5), 2018).

The paper shows the network in figure 5 and lists its layers in section III.I.1, but gives no widths. The layers here,
for an image of 251 px and ``width`` w = 32:

=================== ============ =========== ==========================================================================
layer               side, px     channels    section of the paper; our choices
=================== ============ =========== ==========================================================================
convolution 1-4     251          w           section III.C, eq. 1; 3x3, edges padded, as figure 5 has output = input
max-pooling 1       125          w           section III.D; 2x2, with the indices of the maxima
convolution 5-8     125          2 w
max-pooling 2       62           2 w
convolution 9-12    62           4 w
spatial pyramid 1   62           4 w         section III.D; maxima of 1x1, 2x2 and 4x4 partitions (reference 52),
                                             upsampled, concatenated with the map and merged by a 1x1 convolution
max-pooling 3       31           4 w
convolution 13-16   31           4 w
spatial pyramid 2   31           4 w
TLSTM 1             31           4 w         section III.I.1, figures 3 and 4, eq. 3-7; w units per corner, `tlstm`
TLSTM 2             31           4 w         opens the deconvolution part ("the two ... in the transition phase")
dropout             31           4 w         section III.G; the rate, 0.5, is our choice
deconvolution 1-4   31           4 w         section III.E; 3x3
up-sampling 1       62           4 w         section III.D, "reverse operation of max-pooling" that leaves "sparse
                                             activations": unpooling by the stored indices (reference 54)
deconvolution 5-8   62           4 w, 2 w
up-sampling 2       125          2 w
deconvolution 9-12  125          2 w, w
up-sampling 3       251          w
deconvolution 13-16 251          w
fully connected     251          classes     section III.F, height and width 1; softmax (III.H) is in the loss
=================== ============ =========== ==========================================================================

Batch norm follows each convolution and deconvolution (mentioned in section III.K), then ReLU instead of the paper's
logistic function (eq. 2): its slope is at most 1/4, so that through 32 layers no gradient reaches the first.
Images of any size from 32 px are accepted. Pyramids and TLSTMs see the whole image, so predict in windows of about the
size used in training.
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
    """Attributes common to all segmenters, see `registry.build_model`. RGB in 0..1 is scaled to -1..1."""

    normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    cam_layer: str | None = None
    cam_prefix_tokens: int | None = None


class SpatialPyramid(nn.Module):
    """Spatial pyramid pooling: a feature map merged with the maxima of its 1x1, 2x2 and 4x4 partitions.

    He et al. 2015 (DOI 10.1109/TPAMI.2015.2389824).
    """

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
        # Adaptive pooling divides maps of any size into n x n nearly equal parts.
        maxima = (functional.adaptive_max_pool2d(maps, n) for n in _PARTITIONS)
        levels = [functional.interpolate(partition, size=size) for partition in maxima]
        return self.join(torch.cat((maps, *levels), dim=1))


class Her2Net(Segmenter):
    """Her2Net; for its layers see the table of this module, where `width` is w."""

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

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of normalised images (N, 3, H, W)."""
        maps, places, sizes = images, [], []
        for number, level in enumerate(self.down):
            maps = level(maps)
            # Pyramids after the third and fourth level, as in figure 5.
            if number >= 2:
                maps = self.pyramids[number - 2](maps)
            if number < len(self.down) - 1:
                # Odd sides lose a row in pooling; the size is stored, so that unpooling restores it.
                sizes.append(maps.shape[2:])
                maps, place = functional.max_pool2d(maps, 2, return_indices=True)
                places.append(place)
        maps = self.up[0](self.turn(maps))
        for level, place, size in zip(self.up[1:], reversed(places), reversed(sizes), strict=True):
            maps = level(functional.max_unpool2d(maps, place, 2, output_size=list(size)))
        return self.classify(maps)


def _level(layer: type[nn.Module], before: int, after: int) -> nn.Sequential:
    """Return the four layers of a level.

    The channels change in the first layer of a convolution level, and in the last one of a deconvolution level, so that
    the decoder mirrors the encoder.
    """
    channels = [before, *([after] * _LAYERS_A_LEVEL)]
    if layer is nn.ConvTranspose2d:
        channels = [*([before] * _LAYERS_A_LEVEL), after]
    parts: list[nn.Module] = []
    for one, other in itertools.pairwise(channels):
        conv = layer(one, other, kernel_size=3, padding=1, bias=False)
        # He initialisation: with torch's default the signal would fade over 32 layers. What torch calls the "fan out"
        # of a transposed convolution is the number of its inputs.
        inputs = "fan_out" if layer is nn.ConvTranspose2d else "fan_in"
        nn.init.kaiming_normal_(conv.weight, mode=inputs, nonlinearity="relu")
        parts += [conv, nn.BatchNorm2d(other), nn.ReLU()]
    return nn.Sequential(*parts)


def her2net(n_classes: int, *, width: int, dropout: float) -> Her2Net:
    """Return Her2Net.

    Parameters
    ----------
    n_classes
        Number of classes.
    width
        Channels of the first layers, and units per corner of the TLSTMs.
    dropout
        Dropout rate after the TLSTMs, 0..1.

    Returns
    -------
    Her2Net
        The network, its weights random.
    """
    return Her2Net(n_classes, width, dropout)
