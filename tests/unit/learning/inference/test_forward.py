from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from qupath_her2.errors import ModelError
from qupath_her2.learning.inference.forward import Forward


class Recorder:
    """A network whose logit is the patch's first value; it records batch sizes and refuses those above `most`."""

    def __init__(self, most: int = 1000) -> None:
        self.most, self.sizes = most, []  # type: tuple[int, list[int]]

    def __call__(self, patches: Tensor) -> Tensor:
        self.sizes.append(len(patches))
        if len(patches) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated).")
        return patches[:, 0, 0, :1].float()


def forward_of(net: Recorder, at_once: int, *, pad: bool = False) -> Forward:
    prepare: Any = lambda patches, rows: patches.permute(0, 3, 1, 2)  # noqa: E731
    return Forward(net, prepare, torch.device("cpu"), None, at_once, pad)


PATCHES = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 2, 2, 3)
ROWS = np.arange(10)


@pytest.mark.parametrize("at_once", [3, 10, 64])
@pytest.mark.parametrize("pad", [False, True])
def test_parts_are_joined_in_order_and_padding_is_removed(at_once: int, pad: bool) -> None:
    net = Recorder()
    assert forward_of(net, at_once, pad=pad)(PATCHES, ROWS)[:, 0].tolist() == list(range(10))
    if pad:
        assert set(net.sizes) == {at_once}


def test_full_memory_halves_the_parts_for_good() -> None:
    net = Recorder(most=4)
    forward = forward_of(net, 10)
    assert forward(PATCHES, ROWS)[:, 0].tolist() == list(range(10))
    assert net.sizes == [10, 5, 3, 3, 3, 1]
    assert forward.at_once == 3


def test_a_single_patch_too_large_is_an_error_with_the_remedy() -> None:
    with pytest.raises(ModelError, match=r"full with a single patch of 2 px .* Run it with device cpu"):
        forward_of(Recorder(most=0), 2)(PATCHES, ROWS)
