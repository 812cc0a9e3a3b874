"""Membrane network: a small network along a cell's outline, evaluated without a framework.

Three circular convolutions over the sectors, global pooling (mean, maximum, standard deviation) and two dense layers.
The architecture makes the result invariant to rotation and mirroring of the cell. Weights are plain arrays, read
without unpickling; `qupath_her2.cells.membrane.train_membrane_net` trains them.

Own code instead of torch: scoring must run without torch, and 12,000 weights need no framework.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numba as nb
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from qupath_her2.cells.membrane.half_precision import from_half
from qupath_her2.cells.membrane.profile_features import ProfileFeatures
from qupath_her2.cells.nuclei.star_contours import FAST_MATH
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
#: not depend on how many others there are. Intermediate results of 32 cells fit the processor's cache.
_BLOCK = 32

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


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _add_neighbours(products: _Array, bias: _Array, is_residual: bool, seen: _Array) -> None:
    """Finish a convolution, in place: `seen` (B, A, W) from the products of each sector alone, (B, A, 3 W).

    The sums over both neighbours at each distance make it blind to the sense of rotation, hence to mirroring. They are
    taken after the product, which is linear, and not before it: a third of the values need be laid out for it.
    """
    n, n_sectors, width = seen.shape
    for k in range(n):
        for a in range(n_sectors):
            # The outline is closed; a negative index would be checked for each value.
            before, after = (a - 1) % n_sectors, (a + 1) % n_sectors
            second_before, second_after = (a - 2) % n_sectors, (a + 2) % n_sectors
            for m in range(width):
                total = products[k, a, m] + bias[m]
                total += products[k, before, width + m] + products[k, after, width + m]
                total += products[k, second_before, 2 * width + m] + products[k, second_after, 2 * width + m]
                total = max(total, np.float32(0))
                seen[k, a, m] = seen[k, a, m] + total if is_residual else total


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _pool(seen: _Array, pooled: _Array) -> None:
    """Pool over the sectors, (B, A, W) to (B, 3 W): mean, maximum and spread, which no orientation changes."""
    n, n_sectors, width = seen.shape
    per_sector = np.float32(1 / n_sectors)
    for k in range(n):
        mean, highest, spread = pooled[k, :width], pooled[k, width : 2 * width], pooled[k, 2 * width :]
        for m in range(width):
            mean[m], highest[m], spread[m] = 0, seen[k, 0, m], 0
        for a in range(n_sectors):
            for m in range(width):
                value = seen[k, a, m]
                mean[m] += value * per_sector
                spread[m] += value * value * per_sector
                highest[m] = max(highest[m], value)
        for m in range(width):
            spread[m] = math.sqrt(spread[m] - mean[m] * mean[m] + np.float32(SPREAD_FLOOR))


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _dense(values: _Array, weights: _Array, bias: _Array, answers: _Array) -> None:
    """Fill `answers` (B, out) by a dense layer of `values` (B, in), cell by cell.

    In one product for all, some BLAS kernels round the rows of a matrix differently (in groups of 12 on Haswell), and a
    cell would depend on those before it. The rows of a cell in the convolutions are whole groups.
    """
    for k in range(len(values)):
        for m in range(len(bias)):
            answers[k, m] = bias[m]
        for j in range(values.shape[1]):
            value = values[k, j]
            for m in range(len(bias)):
                answers[k, m] += value * weights[j, m]


def _side_by_side(weights: _Array) -> _Array:
    """Return the weights of a convolution, (3 C, W), for one product of each sector alone: (C, 3 W)."""
    channels = len(weights) // (REACH + 1)
    by_distance = weights.reshape(REACH + 1, channels, -1)
    return np.ascontiguousarray(by_distance.transpose(1, 0, 2)).reshape(channels, -1)


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
    n_sectors = features.shape[1]
    weights = [_side_by_side(layer) for layer in net.weights[:3]]
    # The channels are scaled by the first weights.
    weights[0] = weights[0] * net.scale[:, None]
    width = len(weights[1])
    block = np.zeros((_BLOCK, *features.shape[1:]), np.float32)
    seen = np.empty((_BLOCK, n_sectors, width), np.float32)
    products = np.empty((_BLOCK * n_sectors, (REACH + 1) * width), np.float32)
    pooled = np.empty((_BLOCK, 3 * width), np.float32)
    hidden = np.empty((_BLOCK, len(net.biases[3])), np.float32)
    for first in range(0, len(features), _BLOCK):
        part = features[first : first + _BLOCK]
        block[: len(part)] = from_half(part)
        for k in range(3):
            rows = (block if k == 0 else seen).reshape(_BLOCK * n_sectors, -1)
            np.matmul(rows, weights[k], out=products)
            # Residual connections, except for the first layer, which changes the number of channels.
            _add_neighbours(products.reshape(_BLOCK, n_sectors, -1), net.biases[k], k > 0, seen)
        _pool(seen, pooled)
        _dense(pooled, net.weights[3], net.biases[3], hidden)
        np.maximum(hidden, 0, out=hidden)
        _dense(hidden[: len(part)], net.weights[4], net.biases[4], predicted[first : first + len(part)])
    return predicted
