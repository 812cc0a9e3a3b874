"""The table of networks, and the one function that builds them.

The table holds facts that can be read without torch; tests compare the stored parameter counts with built networks.
Weights of a backbone are ImageNet's, published under the licence named; ours come with their own card.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qupath_her2.errors import SettingsError
from qupath_her2.models.extra import need

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "MODELS",
    "TIMM_PREFIX",
    "InputSize",
    "ModelSpec",
    "build_model",
    "check_input",
    "find_model",
    "model_names",
]

#: Any network of timm is used by its own name behind this.
TIMM_PREFIX = "timm:"

_JOSHI = ("Joshi et al., ETASR 2025", "10.48084/etasr.12140")
_CHAUHAN = ("Chauhan et al., 2025, low against high resolution", "")
_HER2_3 = ("0", "low", "high")
_RESPONSE = ("negative", "equivocal", "positive")
_NAN = float("nan")
#: Units or channels of one layer; more is a slip of the hand, or a card that would fill the memory.
_LARGEST_OPTION = 1 << 14


@dataclass(frozen=True, slots=True)
class InputSize:
    """Side of the square picture a network takes, in px: its default, the least, and what it must be divisible by.

    `is_fixed`: the network is built for one side (option ``input_px``) and takes no other afterwards.
    """

    default: int
    minimum: int = 32
    multiple: int = 1
    is_fixed: bool = False


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known of a network before it is built.

    Attributes
    ----------
    name : in the registry.
    kind : "classification" (logits (N, C)) or "segmentation" (logits (N, C, H, W)).
    task, class_names : what the paper trains it for; any other number of classes can be built.
    input : sides of the picture it takes, px.
    pixel_size_um : of that picture in the paper; NaN where the paper scales whole images to the input.
    backbone : timm's name of the part that may be pretrained, with the tag of its weights; None = all is our own.
    backbone_licence : of those weights; "" = none are published.
    n_parameters, n_trainable : as torch counts them at `class_names`; None = not counted (``timm:``).
    builder : "module:function" in this room, called with the number of classes and `options`.
    options : {name: default} that `build_model` takes besides.
    paper, doi, note : where it is from, and what the paper left open or we chose.
    """

    name: str
    kind: Literal["classification", "segmentation"]
    task: str
    class_names: tuple[str, ...]
    input: InputSize
    pixel_size_um: float
    builder: str
    backbone: str | None = None
    backbone_licence: str = ""
    n_parameters: int | None = None
    n_trainable: int | None = None
    paper: str = ""
    doi: str = ""
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def _baseline(name: str, backbone: str, licence: str, total: int, trainable: int, least_px: int) -> ModelSpec:
    return ModelSpec(
        name=name,
        kind="classification",
        task="her2-response",
        class_names=_RESPONSE,
        input=InputSize(512, minimum=least_px),
        pixel_size_um=0.25,
        builder="classifiers:baseline",
        backbone=backbone,
        backbone_licence=licence,
        n_parameters=total,
        n_trainable=trainable,
        paper=_JOSHI[0],
        doi=_JOSHI[1],
        note="average pooling, batch norm, dense layer, 50 % dropout; the size of the dense layer, 512, is ours",
        options={"hidden": 512, "dropout": 0.5},
    )


def _low_resolution(
    name: str, backbone: str, licence: str, total: int, size: InputSize, note: str = ""
) -> ModelSpec:
    return ModelSpec(
        name=f"lowres-{name}",
        kind="classification",
        task="her2-3",
        class_names=_HER2_3,
        input=size,
        pixel_size_um=_NAN,
        builder="classifiers:whole",
        backbone=backbone,
        backbone_licence=licence,
        n_parameters=total,
        n_trainable=total,
        paper=_CHAUHAN[0],
        doi=_CHAUHAN[1],
        note=f"a whole slide at 224 or 512 px{note}",
        options={"input_px": size.default} if size.is_fixed else {},
    )


_CLASSIFIERS = (
    ModelSpec(
        name="convoher2",
        kind="classification",
        task="her2-4",
        class_names=("0", "1+", "2+", "3+"),
        input=InputSize(256, minimum=75),
        pixel_size_um=_NAN,
        builder="classifiers:convoher2",
        backbone="inception_v3.tf_in1k",
        backbone_licence="apache-2.0",
        n_parameters=31_510_500,
        n_trainable=9_724_932,
        paper="Mridha et al., AJSE 22(1), 2023",
        doi="10.53799/ajse.v22i1.477",
        note="InceptionV3 frozen; images of 1024 px scaled to 256",
    ),
    ModelSpec(
        name="se-resnet50",
        kind="classification",
        task="her2-response",
        class_names=_RESPONSE,
        input=InputSize(512),
        pixel_size_um=0.25,
        builder="classifiers:se_resnet50",
        backbone="resnet50.tv_in1k",
        backbone_licence="bsd-3-clause",
        n_parameters=26_680_515,
        n_trainable=26_680_515,
        paper=_JOSHI[0],
        doi=_JOSHI[1],
        note="the paper's 64,412,939 parameters follow from no layer sizes it names; these are ours",
        options={"reduction": 16, "channels": 1024, "hidden": 512, "dropout": 0.5},
    ),
    _baseline("inception_v3", "inception_v3.tf_in1k", "apache-2.0", 22_840_291, 22_840_291, 75),
    _baseline("efficientnet_b0", "efficientnet_b0.ra_in1k", "apache-2.0", 4_667_519, 4_667_519, 32),
    _baseline("resnet50", "resnet50.tv_in1k", "bsd-3-clause", 24_562_755, 24_562_755, 32),
    ModelSpec(
        name="tumour-resnet34",
        kind="classification",
        task="tumour",
        class_names=("non-tumour", "tumour"),
        input=InputSize(256),
        pixel_size_um=0.5036,
        builder="classifiers:whole",
        backbone="resnet34.tv_in1k",
        backbone_licence="bsd-3-clause",
        n_parameters=21_285_698,
        n_trainable=21_285_698,
        paper="Che et al., Diagnostics 13:263, 2023",
        doi="10.3390/diagnostics13020263",
        note="the paper does not say whether its weights were pretrained",
    ),
    _low_resolution("resnet50", "resnet50.tv_in1k", "bsd-3-clause", 23_514_179, InputSize(224)),
    _low_resolution("densenet201", "densenet201.tv_in1k", "apache-2.0", 18_098_691, InputSize(224)),
    _low_resolution(
        "vit_base",
        "vit_base_patch16_224.augreg_in21k_ft_in1k",
        "apache-2.0",
        85_800_963,
        InputSize(224, minimum=32, multiple=16, is_fixed=True),
        "; positions are interpolated to 512 px",
    ),
    _low_resolution(
        "convnext_small",
        "convnext_small.fb_in1k",
        "apache-2.0",
        49_456_995,
        InputSize(224),
        "; also the patch classifier of approach 3",
    ),
)

#: Every named network, in the order of the papers.
MODELS: Mapping[str, ModelSpec] = {spec.name: spec for spec in _CLASSIFIERS}


def model_names() -> tuple[str, ...]:
    """Return the names of the registered networks; ``timm:NAME`` is accepted besides."""
    return tuple(MODELS)


def find_model(name: str) -> ModelSpec:
    """Return what is known of a network.

    Raises
    ------
    SettingsError
        No such name; the nearest ones are said.
    """
    if name in MODELS:
        return MODELS[name]
    if name.startswith(TIMM_PREFIX):
        return _timm_spec(name)
    near = difflib.get_close_matches(name, MODELS, n=2, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise SettingsError(
        f"Unknown model {name!r}. {hint}There are {', '.join(MODELS)}, and any network of timm as timm:NAME."
    )


def _timm_spec(name: str) -> ModelSpec:
    need("torch", "timm")
    import timm

    backbone = name.removeprefix(TIMM_PREFIX)
    config = timm.models.get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    if not timm.is_model(backbone):
        near = difflib.get_close_matches(backbone.split(".")[0], timm.list_models(), n=3)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise SettingsError(f"timm {timm.__version__} has no network {backbone!r}.{hint}")
    fixed = bool(config and config.fixed_input_size)
    side = int(config.input_size[-1]) if config else 224
    return ModelSpec(
        name=name,
        kind="classification",
        task="",
        class_names=(),
        input=InputSize(side, is_fixed=fixed),
        pixel_size_um=_NAN,
        builder="classifiers:whole",
        backbone=backbone,
        backbone_licence=(config.license or "not stated") if config and config.hf_hub_id else "",
        options={"input_px": side} if fixed else {},
    )


def check_input(spec: ModelSpec, side_px: int) -> None:
    """Raise SettingsError unless a picture of `side_px` fits the network; the message says what would."""
    size = spec.input
    if side_px >= size.minimum and side_px % size.multiple == 0:
        return
    rule = f"at least {size.minimum} px" + (
        f" and a multiple of {size.multiple}" if size.multiple > 1 else ""
    )
    raise SettingsError(
        f"Model '{spec.name}' cannot take pictures of {side_px} px: their side must be {rule}. "
        f"Its default is {size.default}."
    )


def build_model(
    name: str,
    n_classes: int,
    *,
    weights: Literal["pretrained", "random"] | Path | None = "pretrained",
    **options: Any,
) -> nn.Module:
    """Build a network.

    Parameters
    ----------
    name
        One of `model_names`, or ``timm:NAME``.
    n_classes
        Number of classes, at least 2.
    weights
        Of the backbone: "pretrained" = ImageNet's (see `weights.find_pretrained`), "random", or a file of them.
        None = left as initialised, for whoever loads a checkpoint into it next.
    options
        Those of `ModelSpec.options`, to change.

    Returns
    -------
    A torch module that takes float32 (N, 3, H, W), normalised by its ``normalisation`` = (mean, std) of RGB in 0..1,
    and returns logits (N, C), or (N, C, H, W) for segmentation. ``cam_layer`` names the submodule whose output
    Grad-CAM reads, or is None; ``cam_prefix_tokens`` is None where that output is a map (N, C, h, w), else how many
    tokens stand before those of the picture (N, tokens, C). ``weights_source`` says where its weights are from.

    Raises
    ------
    SettingsError
        Unknown name or option, too few classes, or an input that does not fit.
    ModelError
        The weights cannot be had or do not fit; the message says the ways out.
    MissingExtraError
        torch or timm is not installed.
    """
    need("torch", "timm", "safetensors")
    spec = find_model(name)
    if n_classes < 2:
        raise SettingsError(f"Model '{name}' needs at least 2 classes, not {n_classes}.")
    chosen = _options(spec, options)
    module, function = spec.builder.split(":")
    builder = getattr(importlib.import_module(f"qupath_her2.models.{module}"), function)
    own = {"backbone": spec.backbone} if spec.backbone else {}
    net: nn.Module = builder(n_classes, **own, **chosen)
    net.model_name = spec.name
    net.n_classes = n_classes
    net.options = chosen
    from qupath_her2.models.weights import give_weights

    give_weights(net, spec, weights)
    return net


def _options(spec: ModelSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a network; cards come from disk, so types and ranges are checked as well as names."""
    unknown = sorted(set(given) - set(spec.options))
    if unknown:
        known = ", ".join(spec.options) or "none"
        raise SettingsError(
            f"Model '{spec.name}' has no option {', '.join(map(repr, unknown))}; it has: {known}."
        )
    chosen = {**spec.options, **given}
    for name, value in chosen.items():
        if isinstance(spec.options[name], float):
            good, range_ = type(value) in (int, float) and 0 <= value < 1, "0 <= value < 1"
        else:
            good, range_ = type(value) is int and 1 <= value <= _LARGEST_OPTION, f"1 to {_LARGEST_OPTION}"
        if not good:
            raise SettingsError(f"Option {name!r} of model '{spec.name}' must be {range_}, not {value!r}.")
    if "input_px" in chosen:
        check_input(spec, chosen["input_px"])
    return chosen
