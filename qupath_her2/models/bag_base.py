"""The base of all networks on bags: the base class, the encoding of patches in parts, gated attention.

Patches are encoded in parts, whose intermediate values are computed again in the backward pass: memory grows by about
4 kB a patch, whatever the width of the attention.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from qupath_her2.errors import SettingsError

__all__ = ["BagNetwork", "PaperAttention", "bag_loss", "in_parts"]

#: Patches encoded at once; the values of a part are about 20 kB a patch.
_ROWS_AT_ONCE = 8192


def in_parts(function: Callable[[Tensor], Tensor], bag: Tensor) -> Tensor:
    """Apply `function` to the rows of a bag part by part, and return the joined results; see the module."""
    if len(bag) <= _ROWS_AT_ONCE:
        return function(bag)
    parts = bag.split(_ROWS_AT_ONCE)
    if not torch.is_grad_enabled():
        return torch.cat([function(part) for part in parts])
    return torch.cat([checkpoint(function, part, use_reentrant=False) for part in parts])


class BagNetwork(nn.Module):
    """Base class: what all networks on bags offer.

    ``model_name``, ``n_classes`` and ``options`` are those of its card; ``weights_source`` is "random".
    """

    model_name: str
    n_classes: int
    options: dict[str, Any]
    weights_source = "random"

    def forward(self, bag: Tensor) -> Tensor:
        """Return the logits of a bag, float32 (N, D) to (C,)."""
        return self.scored(bag)[0]

    def scored(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (C,), and the raw attention of each patch (K, N), K = 1 or C; without softmax."""
        raise SettingsError(f"'{type(self).__name__}' is the base class of networks on bags.")

    def loss(self, bag: Tensor, label: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the training loss of a bag, and its logits (C,).

        Parameters
        ----------
        bag
            float32 (N, D).
        label
            int64 scalar.
        weight
            float32 (C,), weights of the classes; None weighs them alike.

        Returns
        -------
        tuple[Tensor, Tensor]
            A scalar, and the logits.
        """
        logits = self(bag)
        return bag_loss(logits, label, weight), logits

    def clipped_groups(self) -> list[list[nn.Parameter]]:
        """Return the parameters in the groups whose gradients are clipped together."""
        return [list(self.parameters())]


def bag_loss(logits: Tensor, label: Tensor, weight: Tensor | None) -> Tensor:
    """Return the weighted cross-entropy of one bag.

    Parameters
    ----------
    logits
        float32 (C,).
    label
        int64 scalar.
    weight
        float32 (C,), weights of the classes; None weighs them alike.

    Returns
    -------
    Tensor
        A scalar.
    """
    found = functional.cross_entropy(logits[None], label[None], reduction="none")[0]
    return found if weight is None else found * weight[label]


class PaperAttention(nn.Module):
    """Gated attention of Ilse et al. 2018 (eq. 9), by the names of DTFD's code; float (n, W) to (n, 1)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.attention_V = nn.Sequential(nn.Linear(width, hidden), nn.Tanh())
        self.attention_U = nn.Sequential(nn.Linear(width, hidden), nn.Sigmoid())
        self.attention_weights = nn.Linear(hidden, 1)

    def forward(self, encoded: Tensor) -> Tensor:
        """Return the raw scores."""
        return self.attention_weights(self.attention_V(encoded) * self.attention_U(encoded))
