"""Tables as ``.npz`` files: one array per column, readable by numpy and by Java's ZipFile and ByteBuffer.

Members are stored uncompressed, little-endian, in C order, with NPY 1.0 headers; the same table gives the same
bytes. ``np.savez`` is not used: it keeps the memory order of the arrays and adds zip64 fields to every member.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError

__all__ = ["Columns", "decode_column", "first_duplicate", "read_columns", "write_columns"]

#: {column name: (dtype on disk, number of axes)}, in the order of writing.
Columns = Mapping[str, tuple[str, int]]

# The only version that the Java reader knows: its header starts at byte 10.
_NPY_VERSION = (1, 0)


def write_columns(file: IO[bytes], table: object, columns: Columns) -> None:
    """Write the attributes of `table` named in `columns` to an open binary file.

    Parameters
    ----------
    file
        Open for binary writing.
    table
        Object with one array attribute per column.
    columns
        Columns to write, with the dtype of each; arrays are converted to it.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, (dtype, _) in columns.items():
            column = np.ascontiguousarray(getattr(table, name), dtype=dtype)
            # A ZipInfo without a date is dated 1980-01-01: the same table gives the same bytes.
            info = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(info, "w", force_zip64=column.nbytes > 1 << 31) as member:
                header = npy.header_data_from_array_1_0(column)
                npy.write_array_header_1_0(member, header)
                member.write(column.reshape(-1).view(np.uint8).data)


def read_columns(path: Path, columns: Columns) -> dict[str, NDArray[Any]]:
    """Return the columns of a file as arrays in native byte order.

    Raises
    ------
    ExchangeError
        The file is missing or damaged, or a column differs from `columns`; the message names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _column(archive, name, *columns[name]) for name in columns}
    except FileNotFoundError as error:
        raise ExchangeError(f"'{path}' does not exist; score the image again.") from error
    # zipfile raises NotImplementedError and RuntimeError where damage hits the version or encryption field.
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ExchangeError(
            f"'{path}' is damaged ({error}); score the image again with --force (run or predict)."
        ) from error


def _column(archive: zipfile.ZipFile, name: str, dtype: str, ndim: int) -> NDArray[Any]:
    """Return one column, read from its archive member."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError as error:
        raise ExchangeError(f"'{archive.filename}' has no column {name!r}; score the image again.") from error
    if info.compress_type != zipfile.ZIP_STORED:
        raise ExchangeError(
            f"'{archive.filename}': column {name!r} is compressed; format 1 stores columns uncompressed."
        )
    try:
        return decode_column(archive.read(info), dtype, ndim)
    except ValueError as error:
        raise ExchangeError(f"'{archive.filename}': column {name!r} {error}.") from error


def decode_column(member: bytes, dtype: str, ndim: int) -> NDArray[Any]:
    """Return the array in an NPY 1.0 file, in native byte order.

    Parameters
    ----------
    member
        Content of the ``.npy`` file.
    dtype
        Expected dtype with its byte order, e.g. ``<f4``.
    ndim
        Expected number of axes.

    Returns
    -------
    NDArray[Any]
        Array of that dtype and number of axes, in C order.

    Raises
    ------
    ValueError
        The content is something else; the text completes a sentence that begins with the name of the column.
    """
    data = io.BytesIO(member)
    try:
        if npy.read_magic(data) != _NPY_VERSION:
            raise ValueError("not NPY version 1.0")
        # The header is a Python literal: the size limit bounds what a damaged one can make the parser do.
        shape, is_fortran, found = npy.read_array_header_1_0(data, max_header_size=10_000)
    except ValueError as error:
        raise ValueError(f"has no valid header ({error})") from error
    if found.str != dtype or len(shape) != ndim or (is_fortran and ndim > 1):
        raise ValueError(
            f"is {found.str} with {len(shape)} axes; format 1 has {dtype} with {ndim}, in C order"
        )
    body = data.getbuffer()[data.tell() :]
    # Python integers: a damaged shape must not overflow into a size that happens to fit.
    if len(body) != int(np.prod(shape, dtype=object)) * found.itemsize:
        raise ValueError(f"holds {len(body)} bytes, not shape {shape}")
    return np.frombuffer(body, dtype=found).reshape(shape).astype(found.newbyteorder("="))


def first_duplicate(uuid: NDArray[np.uint8]) -> int | None:
    """Return the index of a row of `uuid`, uint8 (N, 16), that equals an earlier row; None if all differ."""
    # Two 64-bit words per UUID sort faster than rows of 16 bytes.
    words = np.ascontiguousarray(uuid).view("<u8").reshape(-1, 2)
    order = np.lexsort((words[:, 0], words[:, 1]))
    same = (words[order[1:]] == words[order[:-1]]).all(axis=1)
    return int(order[1:][same][0]) if same.any() else None
