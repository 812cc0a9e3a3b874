"""``cells.npz``, format 1: the table of cells, readable by numpy and by Java's ZipFile and ByteBuffer.

Members are stored, not packed; little-endian, C order, NPY 1.0 headers; the same table gives the same bytes.
The names of the measurements and classes stand in ``run.json``.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError
from qupath_her2.records import NOT_MEASURED, CellTable

__all__ = ["check_cells", "read_cells", "write_cells"]

#: Column: dtype on disk and number of axes, in the order in which they are written.
_COLUMNS: dict[str, tuple[str, int]] = {
    "uuid": ("|u1", 2),
    "centroid_xy": ("<f4", 2),
    "cell_xy": ("<f4", 2),
    "cell_offsets": ("<i8", 1),
    "nucleus_xy": ("<f4", 2),
    "nucleus_offsets": ("<i8", 1),
    "region": ("<i4", 1),
    "measurements": ("<f4", 2),
    "cell_class": ("|u1", 1),
}
# NPY headers carry their length so that data start at multiples of 64 bytes; no date means 1980-01-01.
_NPY_VERSION = (1, 0)


def write_cells(file: IO[bytes], cells: CellTable) -> None:
    """Write a table to an open binary file; ExchangeError where it is not a sound table."""
    check_cells(cells)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, (dtype, _) in _COLUMNS.items():
            column = np.ascontiguousarray(getattr(cells, name), dtype=dtype)
            info = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(info, "w", force_zip64=column.nbytes > 1 << 31) as member:
                header = npy.header_data_from_array_1_0(column)
                npy.write_array_header_1_0(member, header)
                member.write(column.reshape(-1).view(np.uint8).data)


def read_cells(
    path: Path,
    *,
    measurement_names: Sequence[str],
    class_names: Sequence[str],
    n_regions: int | None = None,
) -> CellTable:
    """Read and check a whole table.

    Parameters
    ----------
    path
        ``cells.npz`` of a run.
    measurement_names, class_names
        From the run's record: ``cells.measurements`` and ``cells.classes``.
    n_regions
        How many regions the record lists; None leaves the region index unchecked.

    Raises
    ------
    ExchangeError
        Anything is not as format 1 says; the message names the column.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            columns = {name: _column(archive, name) for name in _COLUMNS}
    except FileNotFoundError as error:
        raise ExchangeError(f"'{path}' does not exist; score the image again.") from error
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise ExchangeError(f"'{path}' is damaged ({error}); score the image again with --force.") from error
    cells = CellTable(**columns, measurement_names=tuple(measurement_names), class_names=tuple(class_names))
    check_cells(cells, where=f"'{path}'", n_regions=n_regions)
    return cells


def _column(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Return one column; its header is believed only as far as the bytes that are there."""
    dtype, ndim = _COLUMNS[name]
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


def check_cells(cells: CellTable, *, where: str = "The table of cells", n_regions: int | None = None) -> None:
    """Raise ExchangeError, naming the column, where the table breaks a rule of format 1."""
    n = len(cells.uuid)
    shapes = {
        "uuid": (n, 16),
        "centroid_xy": (n, 2),
        "cell_offsets": (n + 1,),
        "nucleus_offsets": (n + 1,),
        "region": (n,),
        "measurements": (n, len(cells.measurement_names)),
        "cell_class": (n,),
    }
    for name, shape in shapes.items():
        found = getattr(cells, name).shape
        if found != shape:
            raise ExchangeError(f"{where}: {name} has shape {found}, expected {shape}.")
    for part in ("cell", "nucleus"):
        _check_rings(getattr(cells, f"{part}_xy"), getattr(cells, f"{part}_offsets"), f"{where}: {part}")
    if not np.isfinite(cells.centroid_xy).all():
        raise ExchangeError(f"{where}: centroid_xy holds NaN or infinity.")
    known = (cells.cell_class < len(cells.class_names)) | (cells.cell_class == NOT_MEASURED)
    if not known.all():
        wrong = int(cells.cell_class[~known][0])
        raise ExchangeError(
            f"{where}: cell_class holds {wrong}, but there are {len(cells.class_names)} classes."
        )
    if n_regions is not None and n and (cells.region.min() < 0 or cells.region.max() >= n_regions):
        raise ExchangeError(f"{where}: region holds an index outside 0..{n_regions - 1}.")
    repeated = _first_repeat(cells.uuid)
    if repeated is not None:
        raise ExchangeError(
            f"{where}: the UUID of cell {repeated} occurs twice; results are attached by UUID."
        )


def _check_rings(xy: NDArray[np.float32], offsets: NDArray[np.int64], where: str) -> None:
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ExchangeError(f"{where}_xy has shape {xy.shape}, expected (vertices, 2).")
    counts = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(xy) or (counts < 0).any():
        raise ExchangeError(f"{where}_offsets do not rise from 0 to the {len(xy)} vertices there are.")
    if ((counts == 1) | (counts == 2)).any():
        raise ExchangeError(f"{where}_offsets give an outline of fewer than 3 vertices.")
    if not np.isfinite(xy).all():
        raise ExchangeError(f"{where}_xy holds NaN or infinity.")


def _first_repeat(uuid: NDArray[np.uint8]) -> int | None:
    """Return the index of a cell whose UUID another has too; None where all differ."""
    words = np.ascontiguousarray(uuid).view("<u8").reshape(-1, 2)
    order = np.lexsort((words[:, 0], words[:, 1]))
    same = (words[order[1:]] == words[order[:-1]]).all(axis=1)
    return int(order[1:][same][0]) if same.any() else None
