from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qupath_her2.learning.dataset import Batch
from qupath_her2.learning.inference.pipeline import DeviceClock, DeviceResults, upload_batches

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT TESTED: needs an NVIDIA GPU"),
    ),
]


@pytest.mark.parametrize("device", DEVICES)
def test_results_are_stored_by_row_whatever_the_order(device: str) -> None:
    image = np.array([0, 0, 0, 1, 1, 2], np.int32)
    values = torch.rand(6, 3)
    results = DeviceResults(image, torch.device(device))
    # Slides in any order, row 3 never added.
    for rows in ([4], [2, 0], [1], [5]):
        results.add(np.array(rows), values[rows].to(device))
    found = results.collected(6, 3)
    assert found.dtype == np.float32
    assert np.isnan(found[3]).all()
    assert np.array_equal(np.delete(found, 3, axis=0), np.delete(values.numpy(), 3, axis=0))


def test_no_results_are_an_empty_table() -> None:
    assert DeviceResults(np.zeros(0, np.int32), torch.device("cpu")).collected(0, 3).shape == (0, 3)


@pytest.mark.parametrize("device", DEVICES)
def test_uploaded_patches_are_those_of_their_batch(device: str) -> None:
    batches = [Batch(np.array([k]), torch.full((1, 2, 2, 3), k, dtype=torch.uint8), ()) for k in range(5)]
    for batch, patches in upload_batches(batches, torch.device(device)):
        assert patches.device.type == device
        assert torch.equal(patches.cpu(), batch.patches)


def test_a_cpu_has_no_busy_time() -> None:
    clock = DeviceClock(torch.device("cpu"))
    with clock.measured():
        pass
    assert math.isnan(clock.busy_s())
