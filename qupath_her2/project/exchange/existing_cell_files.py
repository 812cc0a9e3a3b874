"""``regions/<image>.cells.npz``, format 1: cells already present in the QuPath project, one array per column.

Written by ``groovy/lib/Her2ExportCells.groovy`` in the layout described in `project.exchange.npz_columns`, with the
names of classes and measurements in an additional member ``info.json``.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from qupath_her2.errors import RegionFileError
from qupath_her2.project.exchange.npz_columns import Columns, decode_column
from qupath_her2.project.geojson.existing_cells import ExistingCells

__all__ = ["EXISTING_FORMAT", "read_existing_cells"]

EXISTING_FORMAT = 1
#: Exceptions of zipfile, zlib, numpy and JSON on damaged bytes (RuntimeError: damaged flags of the archive).
_DAMAGE = (OSError, KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_AGAIN = "Export it again: qupath-her2 pull --cells."
_COLUMNS: Columns = {
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
    """Read and validate a file of existing cells.

    Raises
    ------
    RegionFileError
        The file is damaged or violates format 1; the message names the column.
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
        # A list of names per cell costs one reference each: equal names share one string.
        class_names=tuple(None if code < 0 else classes[code] for code in columns["cell_class"].tolist()),
        is_cell=columns["is_cell"].astype(bool),
        measurement_names=tuple(map(str, info["measurements"])),
        measurements=columns["measurements"],
    )


def _column(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    member = archive.read(f"{name}.npy")
    try:
        return decode_column(member, *_COLUMNS[name])
    except ValueError as error:
        raise ValueError(f"column {name!r} {error}") from error


def _check(columns: dict[str, NDArray[Any]], info: dict[str, Any], path: Path) -> None:
    """Raise RegionFileError if the columns are inconsistent with each other or with ``info.json``."""
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
            raise RegionFileError(f"Cell file '{path}': the {part} outlines are inconsistent. {_AGAIN}")
    # -1 is a cell without a class; anything else must index the list of names.
    if n and not (columns["cell_class"].min() >= -1 and columns["cell_class"].max() < len(info["classes"])):
        raise RegionFileError(f"Cell file '{path}': cell_class names no class of info.json. {_AGAIN}")
