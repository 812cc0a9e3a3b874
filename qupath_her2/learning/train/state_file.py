"""State file of a training: one safetensors file, replaced atomically, that runs no code when read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.errors import TrainingError
from qupath_her2.project.exchange.writing import replace_file

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["load_state", "optimiser_state", "restore_optimiser", "save_state"]

#: Key of the plain values in the metadata of the safetensors file.
_VALUES = "state"


def save_state(path: Path, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Write tensors and plain values as one file, atomically.

    Parameters
    ----------
    path
        The file.
    tensors
        {name: tensor}, on any device.
    values
        Anything JSON can express.

    Raises
    ------
    OutputError
        The file cannot be written; an earlier one is intact.
    """
    from safetensors.torch import save

    # The format stores contiguous C order only; a channels-last weight is copied, its values are the same.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    replace_file(path, save(plain, {_VALUES: orjson.dumps(values).decode()}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file written by `save_state`.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tensors
        {name: tensor} on the CPU.
    values
        The plain values.

    Raises
    ------
    TrainingError
        The file is damaged or not a training state.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            values = orjson.loads((file.metadata() or {})[_VALUES])
    except (OSError, SafetensorError, KeyError, orjson.JSONDecodeError) as error:
        raise TrainingError(
            f"'{path}' is not a training state ({error}). Choose another output folder, or pass --restart."
        ) from error
    return tensors, values


def optimiser_state(optimiser: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimiser's state as {name: tensor} and plain values."""
    import torch

    state = optimiser.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for number, values in state["state"].items():
        # Moments are tensors; step counters are tensors or numbers, depending on optimiser and torch version.
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}/{name}"] = value
            else:
                plain[f"{number}/{name}"] = value
    return tensors, {"values": plain, "groups": state["param_groups"]}


def restore_optimiser(optimiser: Any, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Restore the state of an optimiser of the same kind.

    Parameters
    ----------
    optimiser
        Optimiser of a model with the same parameters; changed in place.
    tensors, values
        From `optimiser_state`.
    """
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *values["values"].items()]:
        number, name = key.split("/", 1)
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": values["groups"]})
