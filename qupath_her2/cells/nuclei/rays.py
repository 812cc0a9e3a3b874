"""Planes read along rays: the samples of all rays of a contour in one loop, so that placing them is vectorised."""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.star_contours import FAST_MATH

__all__ = ["place_samples", "ray_offsets", "read_pairs", "read_samples"]


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def ray_offsets(
    distances: NDArray[np.float32], n_angles: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return where the samples along the rays of a contour lie from its centre, ray by ray, for `place_samples`.

    Parameters
    ----------
    distances
        float32 (S), distances of the samples of a ray from the centre, pixels.
    n_angles
        Number of rays; angles count from +x towards +y.

    Returns
    -------
    tuple[NDArray[np.float32], NDArray[np.float32]]
        float32 (n_angles * S) twice, along x and along y.
    """
    n = len(distances)
    along_x, along_y = np.empty(n_angles * n, np.float32), np.empty(n_angles * n, np.float32)
    for a in range(n_angles):
        cosine, sine = math.cos(2 * math.pi * a / n_angles), math.sin(2 * math.pi * a / n_angles)
        for k in range(n):
            along_x[a * n + k], along_y[a * n + k] = distances[k] * cosine, distances[k] * sine
    return along_x, along_y


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def place_samples(
    shape: tuple[int, int],
    centre: tuple[float, float],
    offsets: tuple[NDArray[np.float32], NDArray[np.float32]],
    index: NDArray[np.int32],
    u: NDArray[np.float32],
    v: NDArray[np.float32],
) -> None:
    """Find the pixels between which samples around a point lie, for `read_samples` and `read_pairs`.

    Apart from the reading, and all samples in one loop, because then this part is vectorised: both together take half
    the time of `bilinear` for each sample.

    Parameters
    ----------
    shape
        (H, W) of the plane, both at least 2.
    centre
        x, y of the point, pixels; pixel centres lie at whole numbers.
    offsets
        float32 (S) twice, distances of the samples from the point along x and y. Samples outside the plane are moved to
        its edge.
    index, u, v
        int32, float32 and float32 (S), overwritten with the upper left pixel of each sample in the flattened plane, and
        the distances from it, 0..1.
    """
    along_x, along_y = offsets
    # Whole pixels and the rest apart: the samples are placed in single precision, and would otherwise depend on how far
    # the tile reaches to the left of them.
    column, row = math.floor(centre[0]), math.floor(centre[1])
    part_x, part_y = np.float32(centre[0] - column), np.float32(centre[1] - row)
    width = np.int32(shape[1])
    first = np.int32(row * shape[1] + column)
    # Just below the last pixel, so that the next one always exists.
    low_x, high_x = np.float32(-column), np.float32(shape[1] - 2 - column) + np.float32(0.999)
    low_y, high_y = np.float32(-row), np.float32(shape[0] - 2 - row) + np.float32(0.999)
    for k in range(len(index)):
        x = min(max(part_x + along_x[k], low_x), high_x)
        y = min(max(part_y + along_y[k], low_y), high_y)
        left, top = np.floor(x), np.floor(y)
        u[k], v[k] = x - left, y - top
        index[k] = first + np.int32(top) * width + np.int32(left)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def read_samples(
    plane: NDArray[np.float32],
    width: int,
    index: NDArray[np.int32],
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Read a plane at samples, by bilinear interpolation.

    Parameters
    ----------
    plane
        float32 (H * W), flattened.
    width
        W.
    index, u, v
        (S), from `place_samples`.
    values
        float32 (S), overwritten.
    """
    # Unsigned: an index that could be negative would be checked for each sample.
    one, below = np.uint64(1), np.uint64(width)
    for k in range(len(index)):
        at = np.uint64(index[k])
        top = plane[at] + (plane[at + one] - plane[at]) * u[k]
        low = plane[at + below] + (plane[at + below + one] - plane[at + below]) * u[k]
        values[k] = top + (low - top) * v[k]


def _type_between_pairs(_context: Any, plane: Any, at: Any, below: Any, u: Any, v: Any) -> Any:
    """Return both values at a place between the pixels `at`, the next one and those `below` values later.

    Written for LLVM as vectors: both values of two neighbouring pixels are one vector of four, and a place takes 13
    instructions. Numba has no such vectors, and does not find them.
    """

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, given[0]).data
        flags = ("contract",)

        def shuffled(first: Any, second: Any, *order: int) -> Any:
            mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), list(order))
            return builder.shuffle_vector(first, second, mask)

        def loaded(place: Any) -> Any:
            pointer = builder.bitcast(
                builder.gep(data, [place]), ir.VectorType(ir.FloatType(), 4).as_pointer()
            )
            return builder.load(pointer, align=4)

        def between(low: Any, high: Any, weight: Any) -> Any:
            n = low.type.count
            lone = builder.insert_element(ir.Constant(low.type, ir.Undefined), weight, ir.IntType(32)(0))
            spread = shuffled(lone, lone, *[0] * n)
            step = builder.fmul(builder.fsub(high, low, flags=flags), spread, flags=flags)
            return builder.fadd(low, step, flags=flags)

        upper, lower = loaded(given[1]), loaded(builder.add(given[1], given[2]))
        rows = between(shuffled(upper, lower, 0, 1, 4, 5), shuffled(upper, lower, 2, 3, 6, 7), given[3])
        both = between(shuffled(rows, rows, 0, 1), shuffled(rows, rows, 2, 3), given[4])
        values = [builder.extract_element(both, ir.IntType(32)(k)) for k in range(2)]
        return context.make_tuple(builder, signature.return_type, values)

    several: Any = types.UniTuple
    return several(types.float32, 2)(plane, at, below, u, v), generate


_between_pairs: Any = intrinsic(_type_between_pairs)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def read_pairs(
    pairs: NDArray[np.float32],
    width: int,
    index: NDArray[np.int32],
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
) -> None:
    """Read two planes at samples, by bilinear interpolation, in a third of the time of `read_samples` for both.

    Parameters
    ----------
    pairs
        float32 (H * W * 2), the values of both planes side by side for each pixel, flattened.
    width
        W.
    index, u, v
        (S), from `place_samples`.
    first, second
        float32 (S), overwritten.
    """
    below = np.int64(2 * width)
    for k in range(len(index)):
        first[k], second[k] = _between_pairs(pairs, np.int64(index[k]) * 2, below, u[k], v[k])
