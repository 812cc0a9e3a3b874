"""Membrane network: a small network along a cell's outline, evaluated with numpy alone.

Three circular convolutions over the sectors, global pooling (mean, maximum, standard deviation) and two dense layers.
The architecture makes the result invariant to rotation and mirroring of the cell. Weights are plain arrays, read
without unpickling; `qupath_her2.cells.membrane.train_membrane_net` trains them.

Own code instead of torch: scoring must run without torch, and 12,000 weights need no framework.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from qupath_her2.cells.membrane.profile_features import ProfileFeatures
from qupath_her2.errors import ExchangeError

__all__ = [
    "REACH",
    "SPREAD_FLOOR",
    "TARGETS",
    "MembraneNet",
    "load_membrane_net",
    "one_blas_thread",
    "predict_membranes",
]

#: Sectors to either side that a convolution reaches.
REACH = 2

#: Added to the variance over sectors before the square root, whose gradient at 0 is infinite (matters in training only,
#: but both sides must compute the same).
SPREAD_FLOOR = 1e-3

#: Columns of the prediction: square root of the own membrane's DAB density (OD ** 0.5), completeness 0..1.
TARGETS = ("own od root", "completeness")

#: Cells per matrix product. The last block is padded: BLAS chooses its kernel by matrix size, and a cell's result must
#: not depend on how many others there are. Intermediate results of 64 cells fit the processor's cache: 20 % faster
#: than 256.
_BLOCK = 64

_Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MembraneNet:
    """Weights of a membrane network.

    Attributes
    ----------
    scale
        float32 (C), multiplies the input channels.
    weights, biases
        float32 (in, out) and (out) of three convolutions and two dense layers.
    """

    scale: _Array
    weights: tuple[_Array, ...]
    biases: tuple[_Array, ...]


def load_membrane_net(name: str, features: tuple[str, ...]) -> MembraneNet:
    """Load a network shipped as package data.

    Parameters
    ----------
    name
        File in ``qupath_her2/cells/data``.
    features
        Channels that the caller computes; they must be those the network was trained on, in order.

    Returns
    -------
    MembraneNet
        The weights.

    Raises
    ------
    ExchangeError
        When the network was trained on other features.
    """
    with resources.files("qupath_her2.cells").joinpath("data", name).open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        trained_on = tuple(str(channel) for channel in stored["features"])
        if trained_on != features:
            differing = sorted(set(trained_on) ^ set(features)) or ["their order"]
            raise ExchangeError(
                f"The membrane network '{name}' was trained on other features than this version computes "
                f"({', '.join(differing)}). Reinstall qupath-her2, or retrain it with "
                "python -m qupath_her2.cells.membrane.train_membrane_net."
            )
        layers = range(5)
        return MembraneNet(
            stored["scale"],
            tuple(stored[f"weight/{k}"] for k in layers),
            tuple(stored[f"bias/{k}"] for k in layers),
        )


@cache
def _blas() -> ThreadpoolController:
    # Scanning the loaded libraries takes milliseconds, so it is done once.
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let products of matrices run in one thread each; enter it once, before the threads that predict are started.

    For products as small as these, synchronising BLAS threads takes four times as long as the work itself.
    """
    with _blas().limit(limits=1, user_api="blas"):
        yield


def _neighbourhoods(values: _Array) -> _Array:
    """Append to every sector the sums of its two neighbours at each distance: (B, A, C) to (B * A, 3 C).

    Sums instead of separate neighbours make the convolution blind to the sense of rotation, hence to mirroring.
    """
    n, n_sectors, channels = values.shape
    # Circular padding: the outline is closed.
    closed = np.concatenate([values[:, -REACH:], values, values[:, :REACH]], axis=1)
    seen = np.empty((n, n_sectors, REACH + 1, channels), np.float32)
    seen[:, :, 0] = values
    for distance in range(1, REACH + 1):
        before, after = REACH - distance, REACH + distance
        np.add(
            closed[:, before : before + n_sectors],
            closed[:, after : after + n_sectors],
            out=seen[:, :, distance],
        )
    return seen.reshape(n * n_sectors, -1)


def _forward(net: MembraneNet, features: _Array) -> _Array:
    """Evaluate the network on one block, float32 (B, A, C) to (B, 2)."""
    n, n_sectors, _ = features.shape
    seen = features * net.scale
    for k in range(3):
        output = _neighbourhoods(seen) @ net.weights[k] + net.biases[k]
        np.maximum(output, 0, out=output)
        output = output.reshape(n, n_sectors, -1)
        # Residual connections, except for the first layer, which changes the number of channels.
        seen = output if k == 0 else seen + output
    # Pooling over all sectors removes the orientation.
    mean = seen.mean(axis=1)
    spread = np.sqrt(np.square(seen).mean(axis=1) - np.square(mean) + np.float32(SPREAD_FLOOR))
    # A product for each cell: in one for all, some BLAS kernels round the rows of a matrix differently (in groups of 12
    # on Haswell), and a cell would depend on those before it. The rows of a cell above are whole groups.
    pooled = np.concatenate([mean, seen.max(axis=1), spread], axis=1)[:, np.newaxis]
    hidden = np.maximum(pooled @ net.weights[3] + net.biases[3], 0)
    return np.asarray(hidden @ net.weights[4] + net.biases[4], np.float32)[:, 0]


def predict_membranes(net: MembraneNet, features: ProfileFeatures) -> NDArray[np.float32]:
    """Predict density and completeness of the own membranes of N cells.

    Parameters
    ----------
    net
        Network trained on the same channels.
    features
        float16 (N, A, C), see `profile_features`.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, 2), columns named by `TARGETS`; not clipped to their ranges.
    """
    predicted = np.empty((len(features), len(TARGETS)), np.float32)
    block = np.zeros((_BLOCK, *features.shape[1:]), np.float32)
    for first in range(0, len(features), _BLOCK):
        part = features[first : first + _BLOCK]
        block[: len(part)] = part
        predicted[first : first + len(part)] = _forward(net, block)[: len(part)]
    return predicted
