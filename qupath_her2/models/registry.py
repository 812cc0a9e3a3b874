"""Model registry: builds the networks of `specs.MODELS`, and any timm network, by name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qupath_her2.errors import SettingsError
from qupath_her2.models.optional import need
from qupath_her2.models.specs import MODELS, InputSize, ModelSpec

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

#: Prefix that gives access to any timm network under its own name.
TIMM_PREFIX = "timm:"

#: Most units or channels of one layer; more is a typing error, or a crafted card that would exhaust the memory.
_LARGEST_OPTION = 1 << 14


def model_names() -> tuple[str, ...]:
    """Return the names of the registered networks; ``timm:NAME`` is accepted as well."""
    return tuple(MODELS)


def find_model(name: str) -> ModelSpec:
    """Return the registry entry of a network.

    Raises
    ------
    SettingsError
        There is no network of this name; the message suggests the nearest ones.
    """
    if name in MODELS:
        return MODELS[name]
    if name.startswith(TIMM_PREFIX):
        return _timm_spec(name)
    # Compared with registered names only: timm has more than a thousand.
    near = difflib.get_close_matches(name, MODELS, n=2, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise SettingsError(
        f"Unknown model {name!r}. {hint}There are {', '.join(MODELS)}, and any timm network as timm:NAME."
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
        pixel_size_um=float("nan"),
        builder="classifiers:timm_classifier",
        backbone=backbone,
        backbone_licence=(config.license or "not stated") if config and config.hf_hub_id else "",
        options={"input_px": side} if fixed else {},
    )


def check_input(spec: ModelSpec, side_px: int) -> None:
    """Raise SettingsError unless the network accepts images of `side_px`; the message says which it does."""
    size = spec.input
    if side_px >= size.minimum and side_px % size.multiple == 0:
        return
    rule = f"at least {size.minimum} px" + (
        f" and a multiple of {size.multiple}" if size.multiple > 1 else ""
    )
    raise SettingsError(
        f"Model '{spec.name}' does not accept images of {side_px} px: the side must be {rule}. "
        f"Its default is {size.default} px."
    )


def build_model(
    name: str,
    n_classes: int,
    *,
    weights: Literal["pretrained", "auto", "random"] | Path | None = "pretrained",
    seed: int | None = None,
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
        Initial weights of the backbone: "pretrained" = ImageNet's (see `weights.find_pretrained`), a weights file, or
        "random"; "auto" = pretrained if available, else random with a `weights.RandomWeightsWarning` that says why.
        None leaves the network as initialised, for callers that load a checkpoint into it next.
    seed
        Seed of all weights that are drawn, a new head's too; torch's own generator is left as it was. None draws from
        that.
    **options
        Values that replace those of `ModelSpec.options`.

    Returns
    -------
    nn.Module
        Takes float32 (N, 3, H, W), normalised by its ``normalisation`` = (mean, std) of RGB in 0..1, and returns
        logits (N, C), or (N, C, H, W) for segmentation. ``cam_layer`` names the submodule whose output Grad-CAM reads,
        or is None; ``cam_prefix_tokens`` is None where that output is a feature map (N, C, h, w), else the number of
        tokens that precede those of the image in (N, tokens, C). ``weights_source`` is the origin of the weights.

    Raises
    ------
    SettingsError
        Unknown name or option, too few classes, or an input size the network does not accept.
    ModelError
        The weights are unavailable or do not fit; the message says the ways out.
    MissingExtraError
        torch or timm is not installed.
    """
    need("torch", "timm", "safetensors")
    spec = find_model(name)
    if n_classes < 2:
        raise SettingsError(f"Model '{name}' needs at least 2 classes, not {n_classes}.")
    chosen = _options(spec, options)
    # The builders' modules import torch, which reading the registry must not.
    module, function = spec.builder.split(":")
    builder = getattr(importlib.import_module(f"qupath_her2.models.{module}"), function)
    own = {"backbone": spec.backbone} if spec.backbone else {}
    import torch

    # Networks are built on the CPU, whatever they are trained on.
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        net: nn.Module = builder(n_classes, **own, **chosen)
    # Registered networks are tested; an arbitrary one may have no usable map.
    if name.startswith(TIMM_PREFIX):
        net.check_cam_layer(chosen.get("input_px", spec.input.default))
    net.model_name = spec.name
    net.n_classes = n_classes
    net.options = chosen
    from qupath_her2.models.weights import initialise_weights

    initialise_weights(net, spec, weights)
    return net


def _options(spec: ModelSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a network, with names, types and ranges checked: cards come from disk."""
    unknown = sorted(set(given) - set(spec.options))
    if unknown:
        known = ", ".join(spec.options) or "none"
        raise SettingsError(
            f"Model '{spec.name}' has no option {', '.join(map(repr, unknown))}; it has: {known}."
        )
    chosen = {**spec.options, **given}
    for name, value in chosen.items():
        # `type(...) is int`, since isinstance would let True through as 1.
        if isinstance(spec.options[name], float):
            good, range_ = type(value) in (int, float) and 0 <= value < 1, "0 <= value < 1"
        else:
            good, range_ = type(value) is int and 1 <= value <= _LARGEST_OPTION, f"1 to {_LARGEST_OPTION}"
        if not good:
            raise SettingsError(f"Option {name!r} of model '{spec.name}' must be {range_}, not {value!r}.")
    if "input_px" in chosen:
        check_input(spec, chosen["input_px"])
    return chosen
