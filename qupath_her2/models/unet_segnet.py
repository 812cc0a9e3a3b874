"""U-Net, SegNet and Bayesian SegNet: the segmenters that the paper of Her2Net compares it with.

================ ==================================================================================================
unet             Ronneberger et al. 2015: four levels of two 3x3 convolutions, skips, 2x2 up-convolutions. Here with
                 padding, so that output size = input size, and batch norm after each convolution.
segnet           Badrinarayanan et al. 2015 (arXiv:1511.00561): VGG-16's 13 convolutions and their mirror image, batch
                 norm, unpooling by the stored indices of the maxima.
bayesian-segnet  Kendall et al. 2015 (arXiv:1511.02680): the same with dropout 0.5 after the three deepest encoders and
                 decoders, also in prediction: `monte_carlo_dropout` gives mean and variance over its samples.
================ ==================================================================================================

The encoders are initialised at random: published weights of VGG-16 belong to its layers without batch norm.
Own code: segmentation-models-pytorch has only U-Nets around a pretrained encoder, other networks than the paper's; the
shipped weights and the parameter counts of the papers belong to these layers.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from qupath_her2.models.segmenters import Segmenter

__all__ = ["SegNet", "UNet", "bayesian_segnet", "dropout_sample", "monte_carlo_dropout", "segnet", "unet"]

#: VGG-16: (number of layers, channels as a multiple of the width) of each level.
_VGG = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
_UNET_LEVELS = 4
#: Levels with dropout in Bayesian SegNet, counted from the deepest.
_DEEPEST = 3


class UNet(Segmenter):
    """U-Net with padded convolutions; `width` channels at the top level, 64 in the paper."""

    def __init__(self, n_classes: int, width: int) -> None:
        super().__init__()
        widths = [width << level for level in range(_UNET_LEVELS + 1)]
        self.down = nn.ModuleList(
            nn.Sequential(*_layer(before, after), *_layer(after, after))
            for before, after in zip([3, *widths], widths, strict=False)
        )
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(deep, flat, 2, stride=2) for deep, flat in pairs)
        self.up = nn.ModuleList(
            nn.Sequential(*_layer(2 * flat, flat), *_layer(flat, flat)) for _, flat in pairs
        )
        self.classify = nn.Conv2d(width, n_classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of normalised images (N, 3, H, W) of any size."""
        height, width = images.shape[2:]
        step = 1 << _UNET_LEVELS
        # Sides that cannot be halved four times are padded by repeating the edge, and cropped at the end.
        maps = functional.pad(images, (0, -width % step, 0, -height % step), mode="replicate")
        skips = []
        for number, level in enumerate(self.down):
            maps = level(functional.max_pool2d(maps, 2) if number else maps)
            skips.append(maps)
        for enlarge, level, skip in zip(self.enlarge, self.up, reversed(skips[:-1]), strict=True):
            maps = level(torch.cat((skip, enlarge(maps)), dim=1))
        return self.classify(maps)[:, :, :height, :width]


class SegNet(Segmenter):
    """SegNet, or Bayesian SegNet with `dropout` above 0; `width` channels at the top level, 64 in the paper."""

    def __init__(self, n_classes: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        before = 3
        for number, (n_layers, times) in enumerate(_VGG):
            after = times * width
            deep = [nn.Dropout(dropout)] if dropout and number >= len(_VGG) - _DEEPEST else []
            self.down.append(nn.Sequential(*_layers([before, *([after] * n_layers)])))
            # The decoder mirrors the encoder: its last layer of a level has the channels of the level above.
            mirrored = [*([after] * n_layers), *([before] if number else [])]
            self.up.insert(0, nn.Sequential(*_layers(mirrored), *deep))
            before = after
        self.after_pool = nn.ModuleList(
            nn.Dropout(dropout) if dropout and number >= len(_VGG) - _DEEPEST else nn.Identity()
            for number in range(len(_VGG))
        )
        self.classify = nn.Conv2d(width, n_classes, kernel_size=3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of normalised images (N, 3, H, W) of at least 32 px."""
        maps, places, sizes = images, [], []
        for level, after in zip(self.down, self.after_pool, strict=True):
            maps = level(maps)
            # Odd sides lose a row in pooling; the size is stored, so that unpooling restores it.
            sizes.append(maps.shape[2:])
            maps, place = functional.max_pool2d(maps, 2, return_indices=True)
            maps = after(maps)
            places.append(place)
        for level, place, size in zip(self.up, reversed(places), reversed(sizes), strict=True):
            maps = level(functional.max_unpool2d(maps, place, 2, output_size=list(size)))
        return self.classify(maps)


def _layer(before: int, after: int) -> tuple[nn.Module, ...]:
    # A bias would be cancelled by the batch norm that follows.
    conv = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
    # He initialisation: with torch's default the signal would fade over SegNet's 26 layers.
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)


def _layers(channels: list[int]) -> list[nn.Module]:
    return [part for one, other in itertools.pairwise(channels) for part in _layer(one, other)]


def unet(n_classes: int, *, width: int) -> UNet:
    """Return U-Net with `width` channels at its top level."""
    return UNet(n_classes, width)


def segnet(n_classes: int, *, width: int) -> SegNet:
    """Return SegNet with `width` channels at its top level."""
    return SegNet(n_classes, width)


def bayesian_segnet(n_classes: int, *, width: int, dropout: float) -> SegNet:
    """Return Bayesian SegNet.

    Parameters
    ----------
    n_classes
        Number of classes.
    width
        Channels of the top level.
    dropout
        Dropout rate of the three deepest levels, above 0, below 1.

    Returns
    -------
    SegNet
        The network, its weights random.
    """
    return SegNet(n_classes, width, dropout)


def monte_carlo_dropout(net: nn.Module, images: Tensor, samples: int = 8) -> tuple[Tensor, Tensor]:
    """Return mean and variance of class probabilities over dropout samples (Kendall et al. 2015, arXiv:1511.02680).

    Only dropout is switched on; batch norm keeps its stored statistics. The network is left in evaluation mode.

    Parameters
    ----------
    net
        Network with dropout layers.
    images
        float32 (N, 3, H, W), normalised.
    samples
        Number of samples, drawn from torch's global generator.

    Returns
    -------
    mean
        float32 (N, C, H, W), 0..1.
    variance
        float32 (N, C, H, W), the model's uncertainty.
    """
    drawn = [module for module in net.modules() if isinstance(module, nn.Dropout)]
    net.eval()
    for module in drawn:
        module.train()
    try:
        with torch.inference_mode():
            nets = torch.stack([torch.softmax(net(images).float(), dim=1) for _ in range(samples)])
            variance, mean = torch.var_mean(nets, dim=0, correction=0)
    finally:
        net.eval()
    return mean, variance


@contextlib.contextmanager
def dropout_sample(net: nn.Module, seed: int) -> Iterator[None]:
    """Apply one dropout sample, the same for all images of one size, to a network in evaluation mode.

    `monte_carlo_dropout` draws new masks for each image of a batch, so that its output depends on the rest of the
    batch. Here the masks follow from `seed` alone: a window of a slide gets the same output in every batch and tile.

    Parameters
    ----------
    net
        Network in evaluation mode; unchanged when the context ends.
    seed
        Number of the sample.

    Yields
    ------
    None
        While the context lasts, calls of `net` use the masks of this sample.
    """
    hooks = [
        module.register_forward_hook(_Mask(module.p, seed, number))
        for number, module in enumerate(m for m in net.modules() if isinstance(m, nn.Dropout))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Mask:
    """Forward hook that drops the same units for all images, and scales up the others as dropout does."""

    def __init__(self, p: float, seed: int, number: int) -> None:
        self._p = p
        # Drawn on the CPU, so that a GPU uses the same masks.
        self._source = torch.Generator().manual_seed((seed << 16) + number)
        self._kept: Tensor | None = None

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], maps: Tensor) -> Tensor:
        # Drawn at the first call, when the size of the feature map is known.
        if self._kept is None:
            drawn = torch.rand(maps.shape[1:], generator=self._source) >= self._p
            self._kept = (drawn.float() / (1 - self._p)).to(maps)
        return maps * self._kept
