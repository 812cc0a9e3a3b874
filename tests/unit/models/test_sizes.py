from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from torch import nn  # noqa: E402

from qupath_her2.models.sizes import ModelSize, model_size  # noqa: E402


def test_sizes_of_a_small_network_worked_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 2))
    net[2].requires_grad_(False)
    # Convolution 3 x 8 x 9 + 8, batch norm 8 + 8, dense 16 + 2; a mean and a variance for each of 8 channels.
    assert model_size(net) == ModelSize(parameters=224 + 16 + 18, trainable=224 + 16, running=16)
