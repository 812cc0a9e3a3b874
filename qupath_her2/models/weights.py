"""Initial weights of a backbone: from a folder, timm's hub, a named file, or random.

There is no silent fallback: weights that cannot be found are an error that says the ways out.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qupath_her2.errors import ModelError
from qupath_her2.models.lite0_weights import lite0_file, timm_names
from qupath_her2.provenance import sha256_file

if TYPE_CHECKING:
    from torch import Tensor, nn

    from qupath_her2.models.registry import ModelSpec

__all__ = [
    "RandomWeightsWarning",
    "WEIGHTS_FOLDER",
    "first_faults",
    "find_pretrained",
    "initialise_weights",
    "load_backbone",
    "read_weights",
]

#: Environment variable: a folder of ``<backbone>.safetensors``, looked up before the hub.
WEIGHTS_FOLDER = "QUPATH_HER2_WEIGHTS"

_HUB_FILE = "model.safetensors"
_LITE0 = "tf_efficientnet_lite0"
#: Parts of published files that no network here has: Inception's auxiliary classifier.
_SPARE = ("AuxLogits.",)


class RandomWeightsWarning(UserWarning):
    """Pretrained weights were requested but unavailable; the network is initialised at random."""


def initialise_weights(
    net: nn.Module, spec: ModelSpec, weights: Literal["pretrained", "auto", "random"] | Path | None
) -> None:
    """Initialise the backbone of a network, and record the origin in its ``weights_source``.

    Parameters
    ----------
    net
        Network to initialise, in place.
    spec
        Its entry in the registry.
    weights
        See `registry.build_model`.

    Raises
    ------
    ModelError
        The weights are unavailable, or belong to another network.
    """
    net.weights_source = "random"
    if weights is None or weights == "random":
        return
    if weights == "auto":
        try:
            initialise_weights(net, spec, "pretrained")
        except ModelError as error:
            warnings.warn(f"Random weights are used. {error}", RandomWeightsWarning, stacklevel=3)
        return
    if isinstance(weights, str) and weights != "pretrained":
        raise ModelError(
            f"Weights {weights!r} of model '{spec.name}' are none of 'pretrained', 'auto', 'random', or a file (a "
            "Path)."
        )
    if spec.backbone is None:
        if isinstance(weights, Path):
            raise ModelError(
                f"Model '{spec.name}' has no pretrained part that '{weights.name}' could fill. Leave --weights out."
            )
        # No weights were ever published for it: "pretrained" then means random, and `weights_source` says so.
        return
    path = weights if isinstance(weights, Path) else find_pretrained(spec.backbone, spec.name)
    load_backbone(net.backbone, path)
    what = path.name if isinstance(weights, Path) else f"{spec.backbone} ({spec.backbone_licence})"
    net.weights_source = f"{what}, sha256 {sha256_file(path)}"


def find_pretrained(backbone: str, model: str = "") -> Path:
    """Find the file of timm's published weights of a backbone: in `WEIGHTS_FOLDER`, a package, the cache, or the hub.

    Parameters
    ----------
    backbone
        timm's name, with the tag of the weights.
    model
        Name of the model in the registry, for messages.

    Returns
    -------
    Path
        A ``.safetensors`` file.

    Raises
    ------
    ModelError
        timm publishes none, or the hub cannot be reached; the message says how to get the file.
    """
    folder = os.environ.get(WEIGHTS_FOLDER)
    if folder and (Path(folder) / f"{backbone}.safetensors").is_file():
        return Path(folder) / f"{backbone}.safetensors"
    # The one set of ImageNet weights that a package brings along.
    own = lite0_file() if backbone.split(".")[0] == _LITE0 else None
    if own is not None:
        return own
    import timm
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    config = timm.models.get_pretrained_cfg(backbone)
    hub_id = config.hf_hub_id if config else None
    whose = f" of model '{model}'" if model else ""
    if not hub_id:
        raise ModelError(
            f"timm {timm.__version__} publishes no weights of '{backbone}'{whose}. Pass a file "
            "(--weights FILE.safetensors), or start from random weights (--weights random)."
        )
    # The cache is asked first, so that a computer without a connection waits for no time-out.
    cached = try_to_load_from_cache(hub_id, _HUB_FILE)
    try:
        return Path(cached if isinstance(cached, str) else hf_hub_download(hub_id, _HUB_FILE))
    except (OSError, ValueError, EntryNotFoundError) as error:
        raise ModelError(
            f"The ImageNet weights '{backbone}'{whose} cannot be downloaded ({type(error).__name__}). Download "
            f"https://huggingface.co/{hub_id}/resolve/main/{_HUB_FILE} on a connected computer and pass it with "
            f"--weights FILE, or keep it as {backbone}.safetensors in the folder named by {WEIGHTS_FOLDER}; "
            "--weights random starts without."
        ) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` file, or of a ``.pth`` that holds only tensors.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        {name: tensor} on the CPU.

    Raises
    ------
    ModelError
        The file cannot be read, is damaged, or would run code when unpickled.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"Weights '{path}' cannot be read: {error.strerror or error}.") from error
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise ModelError(
            f"Weights '{path}' are damaged, or hold more than tensors (a pickle that runs code is refused). "
            "Save the state_dict as .safetensors."
        ) from error
    # Training scripts wrap the weights with optimiser and epoch under one of these keys.
    for key in ("state_dict", "model"):
        content = content.get(key, content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(torch.is_tensor(t) for t in content.values()):
        raise ModelError(f"Weights '{path}' contain no state_dict. Save the state_dict as .safetensors.")
    # DistributedDataParallel puts "module." before every name.
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def load_backbone(net: nn.Module, path: Path) -> None:
    """Load a weights file into a timm network; a classifier of another size keeps its initial weights.

    Parameters
    ----------
    net
        Network, changed in place.
    path
        Weights file, see `read_weights`.

    Raises
    ------
    ModelError
        The file belongs to another network: a weight is missing, unexpected or has another shape.
    """
    state: Any = timm_names(read_weights(path))
    # Beside each network's class timm keeps a function that renames old layers and resizes position embeddings.
    adapt = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    if adapt is not None:
        state = adapt(state, net)
    own = net.state_dict()
    classifier = tuple(f"{name}." for name in _names(net.pretrained_cfg.get("classifier")))
    # A classifier of the same size is loaded: then the file was trained on the same task.
    spare = (*classifier, *_SPARE)
    kept = {k: v for k, v in state.items() if not (k.startswith(spare) and _shape(own.get(k)) != _shape(v))}
    faults = [f"{k} is unexpected" for k in kept if k not in own]
    faults += [
        f"{k} is {_shape(v)}, not {_shape(own[k])}"
        for k, v in kept.items()
        if k in own and _shape(v) != _shape(own[k])
    ]
    faults += [
        f"{k} is missing" for k in own if k not in kept and not k.startswith(classifier) and _counts(k)
    ]
    if faults:
        name = net.pretrained_cfg.get("architecture", "this network")
        raise ModelError(f"Weights '{path}' do not fit {name}: {first_faults(faults)}.")
    net.load_state_dict(kept, strict=False)


def first_faults(faults: Iterable[str], limit: int = 3) -> str:
    """Return the first faults as text, and the number of the others."""
    listed = list(faults)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return "; ".join(listed[:limit]) + more


def _names(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return (
        (value,)
        if isinstance(value, str)
        else tuple(map(str, value))
        if isinstance(value, tuple | list)
        else ()
    )


def _shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)


def _counts(name: str) -> bool:
    # The batch counter of batch norm: older files lack it, and no output depends on it.
    return not name.endswith("num_batches_tracked")
