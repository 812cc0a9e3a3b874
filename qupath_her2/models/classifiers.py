"""Classifiers: networks that assign one class to an image.

Each is a pretrained timm backbone, an optional neck on its feature map, and a head on the pooled features.

=============== ============================== =============================================================
convoher2       2048 -> BN, Dense 2048 ReLU,   Mridha 2023, table I: trainable 9,724,932. Keras counts the
                BN, Dense 1536 ReLU, BN,       running mean and variance of batch norm (2 x 7,168 in the head)
                Dense 1536 ReLU, BN, Dense C   and its InceptionV3 has no scales there (17,216 fewer): so
                                               31,542,052 there is 31,510,500 parameters here
se-resnet50     2048 -> squeeze-excitation,    Joshi 2025, section II.E; the sizes are our choice. No usual
                depth-wise 3x3, point-wise     sizes give the paper's 64,412,939 parameters; its text calls
                1x1, BN, ReLU, head            both blocks light, so 40 million more must be in dense layers
baseline        -> BN, Dense 512 ReLU,         section II.D: average pooling, fully connected layer, softmax,
                dropout 50 %, Dense C          batch norm, dropout 50 %
timm_classifier timm's own pooling and head    low-resolution systems, tumour-resnet34, any ``timm:NAME``
=============== ============================== =============================================================
"""

from __future__ import annotations

import copy
import math
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

__all__ = ["Classifier", "TimmClassifier", "baseline", "convoher2", "se_resnet50", "timm_classifier"]

#: Keras' default; torch's 1e-5 would amplify a unit that is nearly silent in a batch 10 times more.
_KERAS_EPSILON = 1e-3
#: Names of the first version's squeeze-and-excitation, dense layers, and of torchvision's, 1x1 convolutions.
_RENAMED = {"neck.0.squeeze.": "neck.0.fc1.", "neck.0.excite.": "neck.0.fc2."}


class _ClassifierBase(nn.Module):
    """Attributes common to all classifiers, see `registry.build_model`, and freezing of the backbone."""

    normalisation: tuple[tuple[float, ...], tuple[float, ...]]
    cam_layer: str | None
    cam_prefix_tokens: int | None
    is_frozen: bool = False

    def train(self, mode: bool = True) -> _ClassifierBase:
        """Set training mode; a frozen backbone stays in evaluation mode, or its batch statistics would drift."""
        super().train(mode)
        if self.is_frozen:
            self.backbone.eval()
        return self

    def freeze_backbone(self) -> None:
        """Exclude the backbone's weights and batch statistics from training."""
        self.is_frozen = True
        self.backbone.requires_grad_(False)
        self.backbone.eval()


class Classifier(_ClassifierBase):
    """A backbone, an optional neck on its feature map, global average pooling, and a head."""

    def __init__(
        self, backbone: nn.Module, head: nn.Module, *, neck: nn.Module | None = None, frozen: bool = False
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck if neck is not None else nn.Identity()
        self.head = head
        self.normalisation = _normalisation(backbone)
        self.cam_layer = "neck" if neck is not None else _last_feature_map(backbone)
        self.cam_prefix_tokens = None
        if frozen:
            self.freeze_backbone()

    def current_names(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return weights of an earlier version under the names, and in the shapes, of this one."""
        current = {}
        for name, value in state.items():
            block = next((old for old in _RENAMED if name.startswith(old)), "")
            value_now = value[:, :, None, None] if block and value.ndim == 2 else value
            current[_RENAMED.get(block, "") + name.removeprefix(block)] = value_now
        return current

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features (N, D) of images (N, 3, H, W)."""
        return self.neck(self.backbone.forward_features(images)).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, C) of normalised images (N, 3, H, W)."""
        return self.head(self.features(images))


class TimmClassifier(_ClassifierBase):
    """A timm network with its own pooling and head."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.backbone = net
        self.normalisation = _normalisation(net)
        blocks = getattr(net, "blocks", None)
        self.cam_prefix_tokens = getattr(net, "num_prefix_tokens", None)
        if self.cam_prefix_tokens is not None and blocks is not None:
            # Grad-CAM needs tokens that still influence the class token. Those leaving the last block do not: the head
            # reads the class token alone. So the layer is the norm at the last block's entrance.
            self.cam_layer = f"backbone.blocks.{len(blocks) - 1}.norm1"
        else:
            self.cam_prefix_tokens = None
            self.cam_layer = _last_feature_map(net)

    def check_cam_layer(self, side_px: int) -> None:
        """Reset `cam_layer` to None unless its output is a feature map, or a prefix followed by a square of tokens.

        For timm networks that were never tested here.

        Parameters
        ----------
        side_px
            Side of the square input, px.
        """
        if self.cam_layer is None:
            return
        shapes: list[tuple[int, ...]] = []
        # On torch's "meta" device only shapes are computed, in milliseconds and without memory for the weights.
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

    def features(self, images: Tensor) -> Tensor:
        """Return the features before the last layer, (N, D), of images (N, 3, H, W)."""
        return self.backbone.forward_head(self.backbone.forward_features(images), pre_logits=True)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, C) of normalised images (N, 3, H, W)."""
        return self.backbone(images)


def _normalisation(net: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    config = net.pretrained_cfg
    return tuple(map(float, config["mean"])), tuple(map(float, config["std"]))


def _last_feature_map(net: nn.Module) -> str | None:
    """Return the submodule whose output is the last feature map, from timm's `feature_info`."""
    if hasattr(net, "conv_head") and hasattr(net, "bn2"):
        # EfficientNet's `feature_info` ends before its last convolution.
        return "backbone.bn2"
    stages = getattr(net, "feature_info", None)
    # Channels-last networks (Swin) would hand Grad-CAM an array whose axes it would misread.
    if not stages or getattr(net, "output_fmt", "NCHW") != "NCHW":
        return None
    name = str(stages[-1]["module"])
    return f"backbone.{name}" if name in dict(net.named_modules()) else None


def _backbone(name: str) -> nn.Module:
    # Without head and pooling; weights are loaded later, by `weights.initialise_weights`, which checks them.
    return timm.create_model(name, pretrained=False, num_classes=0, global_pool="")


def _dense(wide: int, narrow: int) -> tuple[nn.Module, ...]:
    return nn.Linear(wide, narrow), nn.ReLU(), nn.BatchNorm1d(narrow, eps=_KERAS_EPSILON)


def convoher2(n_classes: int, *, backbone: str) -> Classifier:
    """Return a frozen InceptionV3 with the head of Mridha et al. 2023, table I (DOI 10.53799/ajse.v22i1.477)."""
    net = _backbone(backbone)
    wide = int(net.num_features)
    # The order of the layers is that of the paper's table; its parameter counts fit line by line.
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
    """Return a baseline of Joshi et al. 2025 (DOI 10.48084/etasr.12140), which give all three the same head.

    Parameters
    ----------
    n_classes
        Number of classes.
    backbone
        timm's name of the backbone.
    hidden
        Units of the dense layer.
    dropout
        Dropout rate before the last layer, 0..1.

    Returns
    -------
    Classifier
        The network, its weights random.
    """
    net = _backbone(backbone)
    return Classifier(net, _pooled_head(int(net.num_features), hidden, dropout, n_classes))


def se_resnet50(
    n_classes: int, *, backbone: str, reduction: int, channels: int, hidden: int, dropout: float
) -> Classifier:
    """Return ResNet50 with squeeze-and-excitation and a depth-wise separable convolution on its last feature map.

    Joshi et al. 2025, section II.E (DOI 10.48084/etasr.12140).

    Parameters
    ----------
    n_classes
        Number of classes.
    backbone
        timm's name of the backbone.
    reduction
        Channels per squeezed channel, r of Hu et al. 2020 (DOI 10.1109/TPAMI.2019.2913372).
    channels
        Output channels of the point-wise convolution.
    hidden
        Units of the dense layer.
    dropout
        Dropout rate before the last layer, 0..1.

    Returns
    -------
    Classifier
        The network, its weights random.
    """
    net = _backbone(backbone)
    wide = int(net.num_features)
    # Biases would be cancelled by the batch norm that follows.
    neck = nn.Sequential(
        SqueezeExcitation(wide, max(1, wide // reduction)),
        nn.Conv2d(wide, wide, kernel_size=3, padding=1, groups=wide, bias=False),
        nn.Conv2d(wide, channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )
    return Classifier(net, _pooled_head(channels, hidden, dropout, n_classes), neck=neck)


def timm_classifier(n_classes: int, *, backbone: str, input_px: int | None = None) -> TimmClassifier:
    """Return a timm network with its own pooling and head.

    Parameters
    ----------
    n_classes
        Number of classes.
    backbone
        timm's name of the network.
    input_px
        Side of the input, px, for networks built for one side; None leaves the network's default.

    Returns
    -------
    TimmClassifier
        The network, its weights random.
    """
    config = timm.models.get_pretrained_cfg(backbone)
    # `img_size` is passed only where it changes something: some networks of one side do not take it at all.
    usual = input_px is None or (config is not None and config.input_size[-1] == input_px)
    sized: dict[str, Any] = {} if usual else {"img_size": input_px}
    return TimmClassifier(timm.create_model(backbone, pretrained=False, num_classes=n_classes, **sized))
