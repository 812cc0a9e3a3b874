"""Network sizes: parameters as torch counts them, and running statistics for comparison with Keras' totals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ModelSize", "model_size"]


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Sizes of a network: `parameters`, the `trainable` ones among them, and `running` statistics of batch norm.

    Keras counts the running statistics among the parameters: its total is ``parameters + running``.
    """

    parameters: int
    trainable: int
    running: int


def model_size(net: nn.Module) -> ModelSize:
    """Count the parameters and running statistics of a network."""
    return ModelSize(
        parameters=sum(p.numel() for p in net.parameters()),
        trainable=sum(p.numel() for p in net.parameters() if p.requires_grad),
        running=sum(
            b.numel() for name, b in net.named_buffers() if name.endswith(("running_mean", "running_var"))
        ),
    )
