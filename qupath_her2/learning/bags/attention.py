"""Attention of a network on bags over the patches of a slide, as ranks that can be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.models.bag_base import BagNetwork

__all__ = ["SlideAttention", "slide_attention"]


@dataclass(frozen=True, slots=True, eq=False)
class SlideAttention:
    """What a network says of a slide, and where it looked.

    Attributes
    ----------
    probabilities
        float32 (C,), of the classes.
    rank
        float32 (N,), 0..1: share of the slide's patches with less attention, ties at their mean; NaN where all patches
        have the same. Ranks, as raw attention has no unit and falls off by powers of ten (CLAM shows ranks too).
    """

    probabilities: NDArray[np.float32]
    rank: NDArray[np.float32]


def slide_attention(net: BagNetwork, features: NDArray[np.float32]) -> SlideAttention:
    """Classify a slide and rank the attention of its patches, for a network with branches that of the class it says.

    Parameters
    ----------
    net
        A trained network, in evaluation mode.
    features
        float32 (N, D), N >= 1.

    Returns
    -------
    SlideAttention
        For the whole bag.
    """
    import torch
    from scipy.stats import rankdata

    with torch.inference_mode():
        logits, attention = net.scored(torch.from_numpy(features))
        probabilities = torch.softmax(logits, 0).numpy()
    branch = int(probabilities.argmax()) if len(attention) > 1 else 0
    raw = attention[branch].numpy()
    n = len(raw)
    if n < 2 or raw.min() == raw.max():
        return SlideAttention(probabilities, np.full(n, np.nan, np.float32))
    return SlideAttention(probabilities, ((rankdata(raw) - 1) / (n - 1)).astype(np.float32))
