"""Compiled inner loop of `write_cells`: cells as the bytes of GeoJSON features.

The encoders of ``json``, orjson and the ``geojson`` package need a Python object per number; here digits go straight
from the arrays into one buffer. Coordinates come in hundredths of a pixel, so their decimal text is exact.
Measurements are written with the fewest digits (6 to 9) that read back as the same float32; nine always suffice
(IEEE 754, section 5.12.2).
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["format_cells"]

_FEATURE = np.frombuffer(b',\n{"type":"Feature","id":"', np.uint8)
_GEOMETRY = np.frombuffer(b'","geometry":{"type":"Polygon","coordinates":[[', np.uint8)
_NUCLEUS = np.frombuffer(b'"nucleusGeometry":{"type":"Polygon","coordinates":[[', np.uint8)
_CLOSE = np.frombuffer(b"]]},", np.uint8)
_PROPERTIES = np.frombuffer(b'"properties":{"objectType":"cell",', np.uint8)
_MEASUREMENTS = np.frombuffer(b'"measurements":{', np.uint8)
_TEN = 10.0 ** np.arange(60)
# Numbers such as 44 or 91 below are ASCII codes; compiled code has no byte literals.
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)

# Upper bounds of what is written: "[-20000000.00,-20000000.00]," for a vertex, "-1.23456789e-45," for a measurement.
_VERTEX_BYTES = 28
_NUMBER_BYTES = 18
_FIXED_BYTES = 300

_Bytes = NDArray[np.uint8]
# The numpy error model omits Python's check for division by zero, which would precede every digit.
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_Blobs = tuple[NDArray[np.uint8], NDArray[np.int64]]
_Rings = tuple[NDArray[np.int32], NDArray[np.int64]]


def format_cells(
    uuid: NDArray[np.uint8],
    outlines: _Rings,
    nuclei: _Rings,
    cell_class: NDArray[np.uint8],
    classes: _Blobs,
    measurements: NDArray[np.float32],
    keys: _Blobs,
) -> memoryview:
    """Return the features of N cells, each preceded by ``,`` and a line feed; cells without outline are omitted.

    Parameters
    ----------
    uuid
        uint8 (N, 16).
    outlines, nuclei
        Open rings in hundredths of a pixel, int32 (P, 2), with int64 (N + 1) offsets; an empty range means none.
    cell_class
        uint8 (N,), index into `classes`.
    classes
        JSON of the ``classification`` member of each class with its comma: concatenated bytes, and offsets.
    measurements
        float32 (N, M); values that are not finite are omitted.
    keys
        JSON of the key of each measurement with its colon: concatenated bytes, and offsets.

    Returns
    -------
    memoryview
        UTF-8 bytes.
    """
    n = len(uuid)
    # Sized for the worst case, since compiled code cannot grow the buffer; untouched pages take no memory.
    longest_class = int(np.diff(classes[1]).max(initial=0))
    per_cell = _FIXED_BYTES + longest_class + len(keys[0]) + _NUMBER_BYTES * measurements.shape[1]
    size = n * per_cell + _VERTEX_BYTES * (len(outlines[0]) + len(nuclei[0]) + 2 * n)
    out = np.empty(size, np.uint8)
    length = _format(
        out, uuid, *outlines, *nuclei, cell_class, *classes, np.ascontiguousarray(measurements), *keys
    )
    return out[:length].data


@_compiled
def _copy(out: _Bytes, at: int, text: _Bytes) -> int:
    for i in range(len(text)):
        out[at + i] = text[i]
    return at + len(text)


@_compiled
def _integer(out: _Bytes, at: int, value: int) -> int:
    """Write a non-negative integer below 2**32, and return the position after it."""
    # Unsigned 32 bits, where dividing by ten is cheaper than in the signed 64 bits that numba would choose.
    rest = np.uint32(value)
    end = at + 1
    limit = np.uint64(10)
    while limit <= rest:
        end += 1
        limit *= np.uint64(10)
    for i in range(end - 1, at - 1, -1):
        shorter = rest // np.uint32(10)
        out[i] = np.uint32(48) + rest - shorter * np.uint32(10)
        rest = shorter
    return end


@_compiled
def _hundredths(out: _Bytes, at: int, value: int) -> int:
    """Write value / 100 without trailing zeros, and return the position after it."""
    if value < 0:
        out[at] = 45
        at += 1
        value = -value
    rest = np.uint32(value)
    whole = rest // np.uint32(100)
    at = _integer(out, at, int(whole))
    rest -= whole * np.uint32(100)
    if rest:
        tens = rest // np.uint32(10)
        out[at] = 46
        out[at + 1] = np.uint32(48) + tens
        at += 2
        rest -= tens * np.uint32(10)
        if rest:
            out[at] = np.uint32(48) + rest
            at += 1
    return at


@_compiled
def _ring(out: _Bytes, at: int, points: NDArray[np.int32], first: int, last: int) -> int:
    """Write vertices `first` to `last` (excluded) and the first one again, since GeoJSON rings are closed."""
    for i in range(first, last + 1):
        j = i if i < last else first
        out[at] = 91
        at = _hundredths(out, at + 1, points[j, 0])
        out[at] = 44
        at = _hundredths(out, at + 1, points[j, 1])
        out[at] = 93
        at += 1
        if i < last:
            out[at] = 44
            at += 1
    return at


@_compiled
def _uuid(out: _Bytes, at: int, data: _Bytes, digits: _Bytes) -> int:
    for i in range(16):
        if i in (4, 6, 8, 10):
            out[at] = 45
            at += 1
        out[at] = digits[data[i] >> 4]
        out[at + 1] = digits[data[i] & 15]
        at += 2
    return at


@_compiled
def _shortest(value: np.float32) -> tuple[int, int, int]:
    """Return (digits as an integer, their number, decimal exponent of the first) of a positive float32."""
    wide = np.float64(value)
    exponent = int(np.floor(np.log10(wide)))
    # Fewer than 6 digits are found by stripping zeros at the end.
    digits, size = 0, 5
    while size < 9:
        size += 1
        power = size - 1 - exponent
        # Positive powers of ten are exact (up to 1e22), negative ones never: multiply one way, divide the other.
        if power >= 0:
            digits = int(np.rint(wide * _TEN[power]))
            back = np.float64(digits) / _TEN[power]
        else:
            digits = int(np.rint(wide / _TEN[-power]))
            back = np.float64(digits) * _TEN[-power]
        if np.float32(back) == value:
            break
    # Rounding up to the next power of ten gives one digit too many.
    if digits >= 10**size:
        digits //= 10
        exponent += 1
    while size > 1 and digits % 10 == 0:
        digits //= 10
        size -= 1
    return digits, size, exponent


@_compiled
def _number(out: _Bytes, at: int, value: np.float32) -> int:
    """Write a finite float32 as a JSON number, and return the position after it."""
    if value < 0:
        out[at] = 45
        at += 1
        value = -value
    if value == 0:
        out[at] = 48
        return at + 1
    digits, size, exponent = _shortest(value)
    # Scientific notation outside the range in which plain decimals stay short.
    if exponent < -4 or exponent > 8:
        end = _digits(out, at, digits, size, 1)
        out[end] = 101
        end += 1
        if exponent < 0:
            out[end] = 45
            end += 1
        return _integer(out, end, abs(exponent))
    if exponent < 0:
        out[at] = 48
        out[at + 1] = 46
        at += 2
        for _ in range(-exponent - 1):
            out[at] = 48
            at += 1
        return _digits(out, at, digits, size, size)
    return _digits(out, at, digits, size, exponent + 1)


@_compiled
def _digits(out: _Bytes, at: int, digits: int, size: int, before: int) -> int:
    """Write `size` digits with the decimal point after the first `before`, padded with zeros up to the point."""
    length = max(size, before)
    end = at + length + (1 if size > before else 0)
    # From the last digit to the first, as the remainders by ten come in that order.
    position = end - 1
    for i in range(length - 1, -1, -1):
        if i + 1 == before and size > before:
            out[position] = 46
            position -= 1
        if i < size:
            out[position] = 48 + digits % 10
            digits //= 10
        else:
            out[position] = 48
        position -= 1
    return end


@_compiled
def _format(
    out: _Bytes,
    uuid: _Bytes,
    cell_xy: NDArray[np.int32],
    cell_off: NDArray[np.int64],
    nuc_xy: NDArray[np.int32],
    nuc_off: NDArray[np.int64],
    cell_class: _Bytes,
    class_text: _Bytes,
    class_off: NDArray[np.int64],
    values: NDArray[np.float32],
    key_text: _Bytes,
    key_off: NDArray[np.int64],
) -> int:
    at = 0
    for i in range(len(uuid)):
        # An outline that could not be repaired was emptied.
        if cell_off[i] == cell_off[i + 1]:
            continue
        at = _uuid(out, _copy(out, at, _FEATURE), uuid[i], _HEX)
        at = _ring(out, _copy(out, at, _GEOMETRY), cell_xy, cell_off[i], cell_off[i + 1])
        at = _copy(out, at, _CLOSE)
        if nuc_off[i] < nuc_off[i + 1]:
            at = _ring(out, _copy(out, at, _NUCLEUS), nuc_xy, nuc_off[i], nuc_off[i + 1])
            at = _copy(out, at, _CLOSE)
        at = _copy(out, at, _PROPERTIES)
        kind = cell_class[i]
        at = _copy(out, at, class_text[class_off[kind] : class_off[kind + 1]])
        at = _copy(out, at, _MEASUREMENTS)
        is_first = True
        for j in range(values.shape[1]):
            # JSON has no NaN; a missing measurement is what QuPath shows as NaN.
            if not np.isfinite(values[i, j]):
                continue
            if not is_first:
                out[at] = 44
                at += 1
            is_first = False
            at = _number(out, _copy(out, at, key_text[key_off[j] : key_off[j + 1]]), values[i, j])
        # Close measurements, properties and feature.
        for _ in range(3):
            out[at] = 125
            at += 1
    return at
