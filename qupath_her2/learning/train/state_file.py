"""A training's state on the disk: one safetensors file, replaced in one step, that never runs code when read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.errors import TrainingError
from qupath_her2.project.exchange.writing import replace_file

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["averaged", "load_state", "optimiser_state", "restore_optimiser", "save_state", "update_average"]

_WORDS = "state"
_AGAIN = "Begin anew with another output folder or without resuming."


def save_state(path: Path, tensors: dict[str, Tensor], words: dict[str, Any]) -> None:
    """Write tensors and plain values as one file, complete or not at all.

    Raises
    ------
    OutputError
        It cannot be written; the earlier file is still there.
    """
    from safetensors.torch import save

    # The format stores plain C order; a channels-last weight is laid out anew, its values are the same.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    replace_file(path, save(plain, {_WORDS: orjson.dumps(words).decode()}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_state` wrote.

    Raises
    ------
    TrainingError
        The file is damaged or not a training's state.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            words = orjson.loads((file.metadata() or {})[_WORDS])
    except (OSError, SafetensorError, KeyError, orjson.JSONDecodeError) as error:
        raise TrainingError(f"'{path}' is not the state of a training ({error}). {_AGAIN}") from error
    return tensors, words


def optimiser_state(optimiser: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimiser's state as tensors and plain values."""
    import torch

    state = optimiser.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for number, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}/{name}"] = value
            else:
                plain[f"{number}/{name}"] = value
    return tensors, {"values": plain, "groups": state["param_groups"]}


def restore_optimiser(optimiser: Any, tensors: dict[str, Tensor], words: dict[str, Any]) -> None:
    """Give an optimiser the state that `optimiser_state` took from its like."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *words["values"].items()]:
        number, name = key.split("/", 1)
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": words["groups"]})


def update_average(average: dict[str, Tensor], model: Any, decay: float, steps: int) -> None:
    """Move the running average of the weights one step towards the model's; whole-number buffers are copied.

    The decay starts lower, (1 + steps) / (10 + steps), so that the first weights are forgotten soon.
    """
    import torch

    share = 1 - min(decay, (1 + steps) / (10 + steps))
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.dtype.is_floating_point:
                average[name].lerp_(value, share)
            else:
                average[name].copy_(value)


@contextmanager
def averaged(model: Any, average: dict[str, Tensor] | None) -> Iterator[None]:
    """Lend the model its averaged weights for a while; None leaves it as it is."""
    if average is None:
        yield
        return
    own = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average)
    try:
        yield
    finally:
        model.load_state_dict(own)
