"""Where a network runs and with how many digits; what to do when its memory is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qupath_her2.errors import SettingsError
from qupath_her2.models.optional import need
from qupath_her2.models.settings import Precision

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch

__all__ = [
    "autocast",
    "choose_device",
    "describe_device",
    "half_dtype",
    "is_out_of_memory",
    "memory_layout",
]

PRECISIONS: tuple[str, ...] = ("auto", "fp32", "bf16", "fp16")


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`.

    Parameters
    ----------
    name
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto``: the first GPU, else the processor.

    Raises
    ------
    SettingsError
        There is no such device here.
    """
    need("torch")
    import torch

    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if has["cuda"] else "cpu")
    kind, _, number = name.partition(":")
    if not has.get(kind, False) or (number and not number.isdecimal()):
        there = ", ".join(kind for kind, is_there in has.items() if is_there)
        raise SettingsError(f"Device {name!r} is not to be had here; there is: {there}. Or say auto.")
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise SettingsError(
            f"Device {name!r} is not to be had here: {torch.cuda.device_count()} GPU, counted from cuda:0."
        )
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """Return what the device is called: the GPU's name, or ``cpu``."""
    import torch

    return str(torch.cuda.get_device_name(device) if device.type == "cuda" else device.type)


def half_dtype(device: torch.device, precision: Precision) -> torch.dtype | None:
    """Return the 16-bit type for a network's arithmetic, or None for float32.

    ``auto`` is bf16 on a GPU that has it, fp16 on an older one, and float32 elsewhere: on a processor halves gain
    little, and torch's bf16 ends in an illegal instruction on virtual machines that name AMX but forbid it.

    Raises
    ------
    SettingsError
        When `precision` is unknown.
    """
    import torch

    if precision not in PRECISIONS:
        raise SettingsError(f"Unknown precision {precision!r}. Choose one of: {', '.join(PRECISIONS)}.")
    if precision == "auto":
        if device.type != "cuda":
            return None
        # Older GPUs emulate bf16, slower than float32.
        has_bf16 = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if has_bf16 else torch.float16
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def memory_layout(device: torch.device, *, is_dense: bool) -> torch.memory_format:
    """Return how weights and patches lie in memory.

    Tensor cores want channels last. A processor's core takes half the time so for a network that names pixels (U-Net of
    width 8: 3.3 Mpx/s in place of 1.6) and three quarters of it for a training step; for those that name patches it
    gains nothing (ResNet-50).

    Parameters
    ----------
    device
        It runs on.
    is_dense
        It names pixels.
    """
    import torch

    is_last = device.type == "cuda" or (device.type == "cpu" and is_dense)
    return torch.channels_last if is_last else torch.contiguous_format


def autocast(device: torch.device, half: torch.dtype | None) -> AbstractContextManager[None]:
    """Return the context in which a network computes in `half`, or as it is for None."""
    import torch

    context: AbstractContextManager[None] = torch.autocast(device.type, dtype=half, enabled=half is not None)
    return context


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that the device's memory is full."""
    import torch

    # The general name came with torch 2.5; before there was CUDA's alone.
    return isinstance(error, getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError))
