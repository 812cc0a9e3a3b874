"""Devices: choice of GPU or CPU, numeric precision, memory layout, and detection of full memory."""

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
    """Return a device by name.

    Parameters
    ----------
    name
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto``: the first NVIDIA GPU, else the CPU.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    SettingsError
        This computer has no such device.
    """
    need("torch")
    import torch

    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if has["cuda"] else "cpu")
    # Checked here, as torch.device accepts names of absent devices and fails much later.
    kind, _, number = name.partition(":")
    if not has.get(kind, False) or (number and not number.isdecimal()):
        there = ", ".join(kind for kind, is_there in has.items() if is_there)
        raise SettingsError(f"Device {name!r} is not available here; available: {there}. Or choose auto.")
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise SettingsError(
            f"Device {name!r} is not available here: there are {torch.cuda.device_count()} GPUs, numbered from cuda:0."
        )
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """Return the name of the GPU, or the kind of any other device."""
    import torch

    return str(torch.cuda.get_device_name(device) if device.type == "cuda" else device.type)


def half_dtype(device: torch.device, precision: Precision) -> torch.dtype | None:
    """Return the 16-bit type for a network's arithmetic, or None for float32.

    ``auto`` is bf16 on a GPU that supports it, fp16 on an older one, and float32 elsewhere: on a CPU 16-bit types gain
    little, and torch's bf16 crashes with an illegal instruction on virtual machines that report AMX but forbid it.

    Parameters
    ----------
    device
        The device to compute on.
    precision
        ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Returns
    -------
    torch.dtype or None
        The type for `autocast`.

    Raises
    ------
    SettingsError
        `precision` is unknown.
    """
    import torch

    if precision not in PRECISIONS:
        raise SettingsError(f"Unknown precision {precision!r}. Choose one of: {', '.join(PRECISIONS)}.")
    if precision == "auto":
        if device.type != "cuda":
            return None
        # Before compute capability 8.0 (Ampere), bf16 is emulated and slower than float32.
        has_bf16 = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if has_bf16 else torch.float16
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def memory_layout(device: torch.device, *, is_dense: bool) -> torch.memory_format:
    """Return the memory layout for weights and patches.

    Tensor cores prefer channels last. On a CPU core it halves the time of a segmenter (U-Net of width 8: 3.3 instead of
    1.6 Mpx/s) and takes a quarter off a training step; classifiers gain nothing (ResNet-50).

    Parameters
    ----------
    device
        Device of the network.
    is_dense
        The network is a segmenter.

    Returns
    -------
    torch.memory_format
        Channels last, or contiguous.
    """
    import torch

    is_last = device.type == "cuda" or (device.type == "cpu" and is_dense)
    return torch.channels_last if is_last else torch.contiguous_format


def autocast(device: torch.device, half: torch.dtype | None) -> AbstractContextManager[None]:
    """Return the context in which a network computes in `half`, or in float32 for None."""
    import torch

    context: AbstractContextManager[None] = torch.autocast(device.type, dtype=half, enabled=half is not None)
    return context


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` means that the device's memory is full."""
    import torch

    # The general class came with torch 2.5; before, only CUDA had one.
    return isinstance(error, getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError))
