from __future__ import annotations

import pytest
import torch

from qupath_her2.errors import SettingsError
from qupath_her2.learning.device import autocast, choose_device, half_dtype, is_out_of_memory, memory_layout


def test_unknown_devices_and_precisions_are_refused() -> None:
    for name in ("gpu", "cuda:x", "cuda:99", "tpu"):
        with pytest.raises(SettingsError, match=f"'{name}' is not available here"):
            choose_device(name)
    assert half_dtype(choose_device("cpu"), "auto") is None
    assert half_dtype(choose_device("cpu"), "bf16") == torch.bfloat16
    with pytest.raises(SettingsError, match="Unknown precision 'fp8'"):
        half_dtype(choose_device("cpu"), "fp8")  # type: ignore[arg-type]


def test_autocast_computes_in_the_16_bit_type_or_leaves_float32() -> None:
    layer, given = torch.nn.Linear(4, 2), torch.ones(3, 4)
    with autocast(torch.device("cpu"), torch.bfloat16):
        assert layer(given).dtype == torch.bfloat16
    with autocast(torch.device("cpu"), None):
        assert layer(given).dtype == torch.float32


def test_segmenters_are_channels_last_on_a_cpu_and_classifiers_are_not() -> None:
    cpu = torch.device("cpu")
    assert memory_layout(cpu, is_dense=True) == torch.channels_last
    assert memory_layout(cpu, is_dense=False) == torch.contiguous_format
    assert memory_layout(torch.device("cuda"), is_dense=False) == torch.channels_last


def test_full_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))
