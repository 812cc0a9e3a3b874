"""A small net that looks along the outline of a cell, run with numpy alone.

Three circular convolutions over the sectors, what they say all round (mean, maximum, unevenness), two dense layers.
Turning or mirroring a cell changes nothing of the answer. Weights are plain arrays, read without unpickling;
`qupath_her2.cells.membrane.train_membrane_net` grows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from qupath_her2.cells.membrane.profile_features import Rings
from qupath_her2.errors import ExchangeError

__all__ = ["REACH", "SPREAD_FLOOR", "TARGETS", "RingNet", "estimate_rings", "load_ring_net"]

#: Sectors to either side that a convolution sees.
REACH = 2

#: Added to the variance over sectors before its root is taken.
SPREAD_FLOOR = 1e-3

#: Columns of the answer: root of the own membrane's DAB density (OD ** 0.5), completeness 0..1.
TARGETS = ("own od root", "completeness")

#: Cells at a time; always this many, the last filled up, so that a cell's answer does not depend on its company.
#: What 64 cells need at once stays in the processor's cache: a fifth less time than 256, for the same bits.
_BLOCK = 64

_Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RingNet:
    """Weights: `scale` float32 (C) multiplies the channels; `weights`, `biases` of three convolutions, two layers."""

    scale: _Array
    weights: tuple[_Array, ...]
    biases: tuple[_Array, ...]


def load_ring_net(name: str, features: tuple[str, ...]) -> RingNet:
    """Load a net shipped as package data.

    Parameters
    ----------
    name
        File beside this module, under ``data``.
    features
        The channels the caller offers; they must be those the net was grown on, in order.

    Raises
    ------
    ExchangeError
        When the file was grown on other features.
    """
    with resources.files("qupath_her2.cells").joinpath("data", name).open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        grown_on = tuple(str(channel) for channel in stored["features"])
        if grown_on != features:
            odd = sorted(set(grown_on) ^ set(features)) or ["their order"]
            raise ExchangeError(
                f"The net in '{name}' was grown on other features than this version measures ({', '.join(odd)}). "
                "Install qupath-her2 again, or grow it again with "
                "python -m qupath_her2.cells.membrane.train_membrane_net."
            )
        layers = range(5)
        return RingNet(
            stored["scale"],
            tuple(stored[f"weight/{k}"] for k in layers),
            tuple(stored[f"bias/{k}"] for k in layers),
        )


@cache
def _blas() -> ThreadpoolController:
    # Looking through the loaded libraries takes milliseconds: once.
    return ThreadpoolController()


def _around(rings: _Array) -> _Array:
    """Put beside every sector the sums of its two neighbours at each distance: (B, A, C) to (B * A, 3 C).

    Sums, not the neighbours one by one: a mirrored cell is the same cell.
    """
    n, n_sectors, channels = rings.shape
    closed = np.concatenate([rings[:, -REACH:], rings, rings[:, :REACH]], axis=1)
    seen = np.empty((n, n_sectors, REACH + 1, channels), np.float32)
    seen[:, :, 0] = rings
    for distance in range(1, REACH + 1):
        before, after = REACH - distance, REACH + distance
        np.add(
            closed[:, before : before + n_sectors],
            closed[:, after : after + n_sectors],
            out=seen[:, :, distance],
        )
    return seen.reshape(n * n_sectors, -1)


def _block(net: RingNet, rings: _Array) -> _Array:
    n, n_sectors, _ = rings.shape
    seen = rings * net.scale
    for k in range(3):
        answer = _around(seen) @ net.weights[k] + net.biases[k]
        np.maximum(answer, 0, out=answer)
        answer = answer.reshape(n, n_sectors, -1)
        seen = answer if k == 0 else seen + answer
    mean = seen.mean(axis=1)
    spread = np.sqrt(np.square(seen).mean(axis=1) - np.square(mean) + np.float32(SPREAD_FLOOR))
    pooled = np.concatenate([mean, seen.max(axis=1), spread], axis=1)
    hidden = np.maximum(pooled @ net.weights[3] + net.biases[3], 0)
    return np.asarray(hidden @ net.weights[4] + net.biases[4], np.float32)


def estimate_rings(net: RingNet, rings: Rings) -> NDArray[np.float32]:
    """Estimate the own membranes of N cells.

    Parameters
    ----------
    net
        Grown on the same channels.
    rings
        float16 (N, A, C), `features.ring_features`.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, 2), columns named by `TARGETS`; not yet cut to their ranges.
    """
    found = np.empty((len(rings), len(TARGETS)), np.float32)
    block = np.zeros((_BLOCK, *rings.shape[1:]), np.float32)
    # Products this small wait for each other's threads four times as long as one thread takes for all of them.
    with _blas().limit(limits=1, user_api="blas"):
        for first in range(0, len(rings), _BLOCK):
            part = rings[first : first + _BLOCK]
            block[: len(part)] = part
            found[first : first + len(part)] = _block(net, block)[: len(part)]
    return found
