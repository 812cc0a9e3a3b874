"""Networks that give a picture one class.

Each is a pretrained backbone of timm, perhaps a neck that works on its map, and a head on the averaged map.

=============== ============================== =============================================================
convoher2       2048 -> BN, Dense 2048 ReLU,   Mridha 2023, table I: trainable 9,724,932. Keras counts the
                BN, Dense 1536 ReLU, BN,       running mean and variance of batch norm (2 x 7,168 in the head)
                Dense 1536 ReLU, BN, Dense C   and its InceptionV3 has no scales there (17,216 fewer): so
                                               31,542,052 there is 31,510,500 parameters here
se-resnet50     2048 -> squeeze-excitation,    Joshi 2025, section II.E; sizes are ours. No sizes on a grid
                depth-wise 3x3, point-wise     of usual ones give the paper's 64,412,939; its text calls both
                1x1, BN, ReLU, head            blocks light, so 40 million more must stand in dense layers
baseline        -> BN, Dense 512 ReLU,         section II.D: average pooling, fully connected layer, softmax,
                dropout 50 %, Dense C          batch norm, dropout 50 %
whole           timm's own pooling and head    low-resolution systems, tumour-resnet34, any ``timm:NAME``
=============== ============================== =============================================================
"""

from __future__ import annotations

import copy
import math
from typing import Any

import timm
import torch
from torch import Tensor, nn

__all__ = ["Classifier", "SqueezeExcitation", "WholeNet", "baseline", "convoher2", "se_resnet50", "whole"]

#: Keras' own; torch's 1e-5 would let a unit that is nearly silent in a batch be blown up 10 times more.
_KERAS_EPSILON = 1e-3


class _Facts(nn.Module):
    """What every classifier says of itself; see `registry.build_model`."""

    normalisation: tuple[tuple[float, ...], tuple[float, ...]]
    cam_layer: str | None
    cam_prefix_tokens: int | None
    is_frozen: bool = False

    def train(self, mode: bool = True) -> _Facts:
        """Switch to training; a frozen backbone stays in evaluation, or its batch statistics would drift."""
        super().train(mode)
        if self.is_frozen:
            self.backbone.eval()
        return self

    def freeze_backbone(self) -> None:
        """Stop the backbone's weights and batch statistics from changing."""
        self.is_frozen = True
        self.backbone.requires_grad_(False)
        self.backbone.eval()


class Classifier(_Facts):
    """A backbone's map, a neck on it, its average over the picture, and a head."""

    def __init__(
        self, backbone: nn.Module, head: nn.Module, *, neck: nn.Module | None = None, frozen: bool = False
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck if neck is not None else nn.Identity()
        self.head = head
        self.normalisation = _normalisation(backbone)
        self.cam_layer = "neck" if neck is not None else _last_map(backbone)
        self.cam_prefix_tokens = None
        if frozen:
            self.freeze_backbone()

    def features(self, pictures: Tensor) -> Tensor:
        """Return what the head sees, (N, D), of pictures (N, 3, H, W)."""
        return self.neck(self.backbone.forward_features(pictures)).mean(dim=(2, 3))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (N, C) of normalised pictures (N, 3, H, W)."""
        return self.head(self.features(pictures))


class WholeNet(_Facts):
    """A network of timm with its own pooling and head."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.backbone = net
        self.normalisation = _normalisation(net)
        blocks = getattr(net, "blocks", None)
        self.cam_prefix_tokens = getattr(net, "num_prefix_tokens", None)
        if self.cam_prefix_tokens is not None and blocks is not None:
            # A transformer's last map of tokens that still shapes the class token is what enters its last block.
            self.cam_layer = f"backbone.blocks.{len(blocks) - 1}.norm1"
        else:
            self.cam_prefix_tokens = None
            self.cam_layer = _last_map(net)

    def check_cam_layer(self, side_px: int) -> None:
        """Forget `cam_layer` unless its output is a map, or tokens of which the first are the prefix.

        For networks that nobody has tried here: shapes alone pass through a copy without numbers.
        """
        if self.cam_layer is None:
            return
        shapes: list[tuple[int, ...]] = []
        probe = copy.deepcopy(self).to("meta").eval()
        probe.get_submodule(self.cam_layer).register_forward_hook(
            lambda _module, _given, output: shapes.append(tuple(output.shape))
        )
        probe(torch.empty(1, 3, side_px, side_px, device="meta"))
        if self.cam_prefix_tokens is None:
            is_usable = len(shapes) == 1 and len(shapes[0]) == 4
        else:
            tokens = shapes[0][1] - self.cam_prefix_tokens if shapes and len(shapes[0]) == 3 else -1
            is_usable = tokens > 0 and math.isqrt(tokens) ** 2 == tokens
        if not is_usable:
            self.cam_layer = self.cam_prefix_tokens = None

    def features(self, pictures: Tensor) -> Tensor:
        """Return what the last layer sees, (N, D), of pictures (N, 3, H, W)."""
        return self.backbone.forward_head(self.backbone.forward_features(pictures), pre_logits=True)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (N, C) of normalised pictures (N, 3, H, W)."""
        return self.backbone(pictures)


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate that two dense layers read from all channels' averages (Hu et al. 2020)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        narrow = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, narrow)
        self.excite = nn.Linear(narrow, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, C, H, W) with each channel times its gate in 0..1."""
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(maps.mean(dim=(2, 3))))))
        return maps * gate[:, :, None, None]


def _normalisation(net: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    config = net.pretrained_cfg
    return tuple(map(float, config["mean"])), tuple(map(float, config["std"]))


def _last_map(net: nn.Module) -> str | None:
    """Return the submodule whose output is the last map, by timm's own account of its features."""
    if hasattr(net, "conv_head") and hasattr(net, "bn2"):
        # EfficientNet's account ends before its last convolution.
        return "backbone.bn2"
    stages = getattr(net, "feature_info", None)
    if not stages or getattr(net, "output_fmt", "NCHW") != "NCHW":
        return None
    name = str(stages[-1]["module"])
    return f"backbone.{name}" if name in dict(net.named_modules()) else None


def _backbone(name: str) -> nn.Module:
    return timm.create_model(name, pretrained=False, num_classes=0, global_pool="")


def _dense(wide: int, narrow: int) -> tuple[nn.Module, ...]:
    return nn.Linear(wide, narrow), nn.ReLU(), nn.BatchNorm1d(narrow, eps=_KERAS_EPSILON)


def convoher2(n_classes: int, *, backbone: str) -> Classifier:
    """Return InceptionV3, frozen, under the head of Mridha et al. 2023, table I (DOI 10.53799/ajse.v22i1.477)."""
    net = _backbone(backbone)
    wide = int(net.num_features)
    head = nn.Sequential(
        nn.BatchNorm1d(wide, eps=_KERAS_EPSILON),
        *_dense(wide, 2048),
        *_dense(2048, 1536),
        *_dense(1536, 1536),
        nn.Linear(1536, n_classes),
    )
    return Classifier(net, head, frozen=True)


def _pooled_head(wide: int, hidden: int, dropout: float, n_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(wide),
        nn.Linear(wide, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, n_classes),
    )


def baseline(n_classes: int, *, backbone: str, hidden: int, dropout: float) -> Classifier:
    """Return a backbone under the head that Joshi et al. 2025 give all three baselines (DOI 10.48084/etasr.12140)."""
    net = _backbone(backbone)
    return Classifier(net, _pooled_head(int(net.num_features), hidden, dropout, n_classes))


def se_resnet50(
    n_classes: int, *, backbone: str, reduction: int, channels: int, hidden: int, dropout: float
) -> Classifier:
    """Return ResNet50 with squeeze-and-excitation and a depth-wise separable convolution on its last map.

    Joshi et al. 2025, section II.E. `reduction` is that of Hu et al. 2020; `channels` those of the point-wise
    convolution, `hidden` the units of the dense layer.
    """
    net = _backbone(backbone)
    wide = int(net.num_features)
    neck = nn.Sequential(
        SqueezeExcitation(wide, reduction),
        nn.Conv2d(wide, wide, kernel_size=3, padding=1, groups=wide, bias=False),
        nn.Conv2d(wide, channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )
    return Classifier(net, _pooled_head(channels, hidden, dropout, n_classes), neck=neck)


def whole(n_classes: int, *, backbone: str, input_px: int | None = None) -> WholeNet:
    """Return a network of timm with its own head; `input_px` for those that are built for one side."""
    config = timm.models.get_pretrained_cfg(backbone)
    # Not every network built for one side can be told another.
    usual = input_px is None or (config is not None and config.input_size[-1] == input_px)
    sized: dict[str, Any] = {} if usual else {"img_size": input_px}
    return WholeNet(timm.create_model(backbone, pretrained=False, num_classes=n_classes, **sized))
