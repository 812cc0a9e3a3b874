"""The base of all networks on bags: the base class, the encoding of patches in parts, gated attention.

Patches are encoded in parts, whose intermediate values are computed again in the backward pass: memory grows by about
4 kB a patch, whatever the width of the attention. Their matrices may be multiplied in 16 bits; scores of attention are
sums in float32 all the same, or thousands of patches would tie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from qupath_her2.errors import SettingsError

__all__ = ["BagNetwork", "PaperAttention", "bag_loss", "in_float32", "in_parts"]

#: Patches encoded at once; the values of a part are about 20 kB a patch.
_ROWS_AT_ONCE = 8192


def in_parts(
    function: Callable[[Tensor], tuple[Tensor, ...]], bag: Tensor, half: torch.dtype | None = None
) -> tuple[Tensor, ...]:
    """Apply a function to the rows of a bag part by part, and return the joined results; see the module.

    Parameters
    ----------
    function
        From float32 (n, D) to tensors (n, …). Several results are returned apart: joined as columns, each step of a
        training would copy all encoded patches twice.
    bag
        float32 (N, D).
    half
        16-bit type of its matrix products; None multiplies in float32.

    Returns
    -------
    tuple[Tensor, ...]
        float32 (N, …) each.
    """

    def apply(part: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(part.device.type, dtype=half, enabled=half is not None):
            return tuple(one.float() for one in function(part))

    if len(bag) <= _ROWS_AT_ONCE:
        return apply(bag)
    parts = bag.split(_ROWS_AT_ONCE)
    if torch.is_grad_enabled():
        found = [checkpoint(apply, part, use_reentrant=False) for part in parts]
    else:
        found = [apply(part) for part in parts]
    return tuple(torch.cat(pieces) for pieces in zip(*found, strict=True))


def in_float32(layer: nn.Module, values: Tensor) -> Tensor:
    """Return the output of a layer computed in float32, also where other layers are computed in 16 bits."""
    with torch.autocast(values.device.type, enabled=False):
        found: Tensor = layer(values.float())
    return found


class BagNetwork(nn.Module):
    """Base class: what all networks on bags offer.

    ``model_name``, ``n_classes`` and ``options`` are those of its card; ``weights_source`` is "random". ``half`` is the
    16-bit type in which patches are encoded, None for float32; a training sets it for its own duration.
    """

    model_name: str
    n_classes: int
    options: dict[str, Any]
    weights_source = "random"
    half: torch.dtype | None = None

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
        return in_float32(self.attention_weights, self.attention_V(encoded) * self.attention_U(encoded))
