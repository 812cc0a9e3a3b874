"""Tables of a run as files: named columns in a zip archive, readable by numpy and by Java's ZipFile and ByteBuffer.

Members are stored, not packed; little-endian, C order, NPY 1.0 headers; the same table gives the same bytes.
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

__all__ = ["Columns", "first_repeat", "read_columns", "write_columns"]

#: Name of a column: dtype on disk and number of axes, in the order in which they are written.
Columns = Mapping[str, tuple[str, int]]

# NPY headers carry their length so that data start at multiples of 64 bytes; no date means 1980-01-01.
_NPY_VERSION = (1, 0)


def write_columns(file: IO[bytes], table: object, columns: Columns) -> None:
    """Write the attributes of `table` that `columns` names to an open binary file."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, (dtype, _) in columns.items():
            column = np.ascontiguousarray(getattr(table, name), dtype=dtype)
            info = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(info, "w", force_zip64=column.nbytes > 1 << 31) as member:
                header = npy.header_data_from_array_1_0(column)
                npy.write_array_header_1_0(member, header)
                member.write(column.reshape(-1).view(np.uint8).data)


def read_columns(path: Path, columns: Columns) -> dict[str, NDArray[Any]]:
    """Return the columns of a file in the machine's own byte order.

    Raises
    ------
    ExchangeError
        The file is not there, is damaged, or a column is not as `columns` says; the message names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _column(archive, name, *columns[name]) for name in columns}
    except FileNotFoundError as error:
        raise ExchangeError(f"'{path}' does not exist; score the image again.") from error
    # zipfile says NotImplementedError and RuntimeError of a damaged version or encryption field.
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ExchangeError(f"'{path}' is damaged ({error}); score the image again with --force.") from error


def _column(archive: zipfile.ZipFile, name: str, dtype: str, ndim: int) -> NDArray[Any]:
    """Return one column; its header is believed only as far as the bytes that are there."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError as error:
        raise ExchangeError(f"'{archive.filename}' has no column {name!r}; score the image again.") from error
    if info.compress_type != zipfile.ZIP_STORED:
        raise ExchangeError(
            f"'{archive.filename}': column {name!r} is compressed; format 1 stores it as it is."
        )
    data = io.BytesIO(archive.read(info))
    try:
        if npy.read_magic(data) != _NPY_VERSION:
            raise ValueError("not NPY version 1.0")
        shape, is_fortran, found = npy.read_array_header_1_0(data, max_header_size=10_000)
    except ValueError as error:
        raise ExchangeError(
            f"'{archive.filename}': column {name!r} has no sound header ({error})."
        ) from error
    if found.str != dtype or len(shape) != ndim or (is_fortran and ndim > 1):
        raise ExchangeError(
            f"'{archive.filename}': column {name!r} is {found.str} with {len(shape)} axes; "
            f"format 1 has {dtype} with {ndim}, in C order."
        )
    body = data.getbuffer()[data.tell() :]
    if len(body) != int(np.prod(shape, dtype=object)) * found.itemsize:
        raise ExchangeError(
            f"'{archive.filename}': column {name!r} holds {len(body)} bytes, not shape {shape}."
        )
    return np.frombuffer(body, dtype=found).reshape(shape).astype(found.newbyteorder("="))


def first_repeat(uuid: NDArray[np.uint8]) -> int | None:
    """Return the index of a row of uint8 (N, 16) that occurs before it too; None where all differ."""
    words = np.ascontiguousarray(uuid).view("<u8").reshape(-1, 2)
    order = np.lexsort((words[:, 0], words[:, 1]))
    same = (words[order[1:]] == words[order[:-1]]).all(axis=1)
    return int(order[1:][same][0]) if same.any() else None
