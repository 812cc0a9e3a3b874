"""How large a network is, counted torch's way and the way Keras prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ModelSize", "model_size"]


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Numbers of a network: `parameters`, of these `trainable`, and `running` means and variances of batch norm.

    Keras counts the running statistics among the parameters: its total is ``parameters + running``.
    """

    parameters: int
    trainable: int
    running: int


def model_size(net: nn.Module) -> ModelSize:
    """Count the numbers in a network."""
    return ModelSize(
        parameters=sum(p.numel() for p in net.parameters()),
        trainable=sum(p.numel() for p in net.parameters() if p.requires_grad),
        running=sum(
            b.numel() for name, b in net.named_buffers() if name.endswith(("running_mean", "running_var"))
        ),
    )
