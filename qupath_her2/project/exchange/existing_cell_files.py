"""``regions/<image>.cells.npz``, format 1: the cells that a QuPath project holds already, as columns.

``groovy/lib/Her2CellsOut.groovy`` writes it: members stored, not packed; little-endian, C order, NPY 1.0 headers;
``info.json`` among them has the names of classes and measurements.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.lib import format as npy
from numpy.typing import NDArray

from qupath_her2.errors import RegionFileError
from qupath_her2.project.geojson.existing_cells import ExistingCells

__all__ = ["EXISTING_FORMAT", "read_existing_cells"]

EXISTING_FORMAT = 1
#: What zipfile, zlib, numpy and JSON raise on damaged bytes; flags of the archive give RuntimeError.
_DAMAGE = (OSError, KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_AGAIN = "Export it again: qupath-her2 pull --cells."
#: Column: dtype on disk and number of axes.
_COLUMNS: dict[str, tuple[str, int]] = {
    "uuid": ("|u1", 2),
    "cell_xy": ("<f4", 2),
    "cell_offsets": ("<i8", 1),
    "nucleus_xy": ("<f4", 2),
    "nucleus_offsets": ("<i8", 1),
    "cell_class": ("<i4", 1),
    "is_cell": ("|u1", 1),
    "measurements": ("<f4", 2),
}


def read_existing_cells(path: Path) -> ExistingCells:
    """Read and check a whole file.

    Raises
    ------
    RegionFileError
        Anything is not as format 1 says; the message names the column.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = orjson.loads(archive.read("info.json"))
            columns = {name: _column(archive, name) for name in _COLUMNS}
    except _DAMAGE as error:
        raise RegionFileError(f"Cell file '{path}' is damaged or incomplete ({error}). {_AGAIN}") from error
    if not isinstance(info, dict) or info.get("format") != EXISTING_FORMAT:
        found = info.get("format") if isinstance(info, dict) else type(info).__name__
        raise RegionFileError(
            f"Cell file '{path}' has format {found!r}; this version reads {EXISTING_FORMAT}. {_AGAIN}"
        )
    _check(columns, info, path)
    classes = [None if name is None else str(name) for name in info["classes"]]
    return ExistingCells(
        uuid=columns["uuid"],
        cell_xy=columns["cell_xy"],
        cell_offsets=columns["cell_offsets"],
        nucleus_xy=columns["nucleus_xy"],
        nucleus_offsets=columns["nucleus_offsets"],
        class_names=tuple(None if code < 0 else classes[code] for code in columns["cell_class"].tolist()),
        is_cell=columns["is_cell"].astype(bool),
        measurement_names=tuple(map(str, info["measurements"])),
        measurements=columns["measurements"],
    )


def _column(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    dtype, ndim = _COLUMNS[name]
    data = io.BytesIO(archive.read(f"{name}.npy"))
    if npy.read_magic(data) != (1, 0):
        raise ValueError(f"column {name!r} is not NPY 1.0")
    shape, is_fortran, found = npy.read_array_header_1_0(data, max_header_size=10_000)
    if found.str != dtype or len(shape) != ndim or (is_fortran and ndim > 1):
        raise ValueError(f"column {name!r} is {found.str} with {len(shape)} axes, not {dtype} with {ndim}")
    body = data.getbuffer()[data.tell() :]
    if len(body) != int(np.prod(shape, dtype=object)) * found.itemsize:
        raise ValueError(f"column {name!r} holds {len(body)} bytes, not shape {shape}")
    return np.frombuffer(body, dtype=found).reshape(shape).astype(found.newbyteorder("="))


def _check(columns: dict[str, NDArray[Any]], info: dict[str, Any], path: Path) -> None:
    """Raise RegionFileError where columns do not fit each other."""
    n = len(columns["uuid"])
    for key in ("classes", "measurements"):
        if not isinstance(info.get(key), list):
            raise RegionFileError(f"Cell file '{path}': info.json lacks the list '{key}'. {_AGAIN}")
    shapes = {
        "uuid": (n, 16),
        "cell_offsets": (n + 1,),
        "nucleus_offsets": (n + 1,),
        "cell_class": (n,),
        "is_cell": (n,),
        "measurements": (n, len(info["measurements"])),
    }
    for name, shape in shapes.items():
        if columns[name].shape != shape:
            raise RegionFileError(
                f"Cell file '{path}': {name} has shape {columns[name].shape}, expected {shape}. {_AGAIN}"
            )
    for part in ("cell", "nucleus"):
        xy, offsets = columns[f"{part}_xy"], columns[f"{part}_offsets"]
        rises = offsets[0] == 0 and offsets[-1] == len(xy) and (np.diff(offsets) >= 0).all()
        if not rises or xy.shape[1] != 2 or not np.isfinite(xy).all():
            raise RegionFileError(f"Cell file '{path}': the outlines of {part} are not sound. {_AGAIN}")
    if n and not (columns["cell_class"].min() >= -1 and columns["cell_class"].max() < len(info["classes"])):
        raise RegionFileError(f"Cell file '{path}': cell_class names no class of info.json. {_AGAIN}")
