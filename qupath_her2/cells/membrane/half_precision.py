"""Conversion to half precision and back, ten times as fast as numpy's, which takes value by value.

Compiled code has no half precision, so both work on the bits of the numbers.

References
----------
.. [1] Giesen F. "Float to half conversions." 2012. https://gist.github.com/rygorous/2156668 (public domain).
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

__all__ = ["from_half", "to_half"]

#: Bits before the fraction of a half are 13 places further in a single, and its exponent begins 112 later.
_SHIFT, _REBIAS = np.uint32(13), np.uint32(112 << 23)
_SIGN, _SIGN_SHIFT = np.uint32(1 << 31), np.uint32(16)
#: Below the least normal half; adding `_MAGIC` to a number below it leaves the bits of its half at the end.
_LEAST_NORMAL, _MAGIC = np.uint32(113 << 23), np.uint32(126 << 23)
_ONE, _ALMOST_HALF = np.uint32(1), np.uint32(0xFFF)


@nb.njit(cache=True, nogil=True)
def _narrow(
    bits: NDArray[np.uint32],
    shifted: NDArray[np.float32],
    shifted_bits: NDArray[np.uint32],
    half: NDArray[np.uint16],
) -> None:
    """Fill the bits of halves, rounded to even; `shifted` and its bits are work space of the same memory."""
    magic = np.float32(0.5)
    for k in range(len(bits)):
        shifted_bits[k] = bits[k] & ~_SIGN
    for k in range(len(bits)):
        shifted[k] += magic
    for k in range(len(bits)):
        sign, size = bits[k] & _SIGN, bits[k] & ~_SIGN
        normal = (size - _REBIAS + _ALMOST_HALF + ((size >> _SHIFT) & _ONE)) >> _SHIFT
        small = shifted_bits[k] - _MAGIC
        half[k] = np.uint16((small if size < _LEAST_NORMAL else normal) | (sign >> _SIGN_SHIFT))


@nb.njit(cache=True, nogil=True)
def _widen(half: NDArray[np.uint16], bits: NDArray[np.uint32]) -> None:
    """Fill the bits of singles that are 2 ** 112 times too small."""
    for k in range(len(half)):
        value = np.uint32(half[k])
        bits[k] = ((value & np.uint32(0x7FFF)) << _SHIFT) | ((value & np.uint32(0x8000)) << _SIGN_SHIFT)


def to_half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return values of at most 65504 in half precision, as ``astype``; neither NaN nor infinity.

    Parameters
    ----------
    values
        float32, any shape.

    Returns
    -------
    NDArray[np.float16]
        float16 of the same shape.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    shifted, half = np.empty_like(flat), np.empty(len(flat), np.uint16)
    _narrow(flat.view(np.uint32), shifted, shifted.view(np.uint32), half)
    return half.view(np.float16).reshape(values.shape)


def from_half(values: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return finite values in single precision, as ``astype``.

    Parameters
    ----------
    values
        float16, any shape.

    Returns
    -------
    NDArray[np.float32]
        float32 of the same shape.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    bits = np.empty(len(flat), np.uint32)
    _widen(flat.view(np.uint16), bits)
    wide = bits.view(np.float32)
    # Exact, also for the smallest, which have no exponent of their own.
    wide *= np.float32(2.0**112)
    return wide.reshape(values.shape)
