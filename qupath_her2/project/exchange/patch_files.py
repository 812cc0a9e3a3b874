"""``patches.npz``, format 1: the table of classified patches; ``run.json`` has the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.npz_columns import Columns, first_duplicate, read_columns, write_columns
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.provenance import are_ours
from qupath_her2.records import NOT_MEASURED, PatchTable

__all__ = ["check_patches", "patches_of_run", "read_patches", "write_patches"]

_NAME = "patches.npz"
_COLUMNS: Columns = {
    "uuid": ("|u1", 2),
    "box_xywh": ("<i4", 2),
    "region": ("<i4", 1),
    "probabilities": ("<f4", 2),
    "patch_class": ("|u1", 1),
}
#: Last components of class names that make QuPath count a detection as a cell.
_COUNTED = ("Negative", "Positive", "1+", "2+", "3+")


def write_patches(file: IO[bytes], patches: PatchTable) -> None:
    """Write a table to an open binary file; ExchangeError if `check_patches` finds it invalid."""
    check_patches(patches)
    write_columns(file, patches, _COLUMNS)


def read_patches(path: Path, *, class_names: Sequence[str], n_regions: int | None = None) -> PatchTable:
    """Read and validate a table of patches.

    Parameters
    ----------
    path
        ``patches.npz`` of a run.
    class_names
        ``patches.classes`` of the run's record.
    n_regions
        Number of regions in the record; None leaves the region index unchecked.

    Returns
    -------
    PatchTable
        The table, in native byte order.

    Raises
    ------
    ExchangeError
        The file violates format 1; the message names the column.
    """
    patches = PatchTable(**read_columns(path, _COLUMNS), class_names=tuple(class_names))
    check_patches(patches, where=f"'{path}'", n_regions=n_regions)
    return patches


def patches_of_run(run_dir: Path, record: RunRecord) -> PatchTable | None:
    """Return the patches of a run with a validated record; None if the run has none."""
    if _NAME not in record.files:
        return None
    classes = record.patches.get("classes", [])
    return read_patches(run_dir / _NAME, class_names=classes, n_regions=len(record.regions))


def check_patches(
    patches: PatchTable, *, where: str = "The table of patches", n_regions: int | None = None
) -> None:
    """Validate a table of patches against format 1.

    Parameters
    ----------
    patches
        The table.
    where
        Start of the error message: the file, or what the table is.
    n_regions
        Number of scored regions; None leaves the region index unchecked.

    Raises
    ------
    ExchangeError
        A rule is violated; the message names the column.
    """
    n, classes = len(patches.uuid), patches.class_names
    shapes = {
        "uuid": (n, 16),
        "box_xywh": (n, 4),
        "region": (n,),
        "probabilities": (n, len(classes)),
        "patch_class": (n,),
    }
    for name, shape in shapes.items():
        found = getattr(patches, name).shape
        if found != shape:
            raise ExchangeError(f"{where}: {name} has shape {found}, expected {shape}.")
    # QuPath computes its H-score from the class name alone, whatever kind of object carries it.
    for name in classes:
        if name.rpartition(": ")[2] in _COUNTED:
            raise ExchangeError(
                f"{where}: QuPath would count a patch of class {name!r} as a cell. "
                "Rename the class, e.g. to 'HER2 patch 3+'."
            )
    if n and patches.box_xywh[:, 2:].min() < 1:
        raise ExchangeError(f"{where}: box_xywh holds a width or height below 1 px.")
    probability = patches.probabilities
    if not (np.isnan(probability) | ((probability >= 0) & (probability <= 1))).all():
        raise ExchangeError(f"{where}: probabilities holds a value outside 0..1.")
    known = (patches.patch_class < len(classes)) | (patches.patch_class == NOT_MEASURED)
    if not known.all():
        wrong = int(patches.patch_class[~known][0])
        raise ExchangeError(f"{where}: patch_class holds {wrong}, but there are {len(classes)} classes.")
    if n_regions is not None and n and (patches.region.min() < 0 or patches.region.max() >= n_regions):
        raise ExchangeError(f"{where}: region holds an index outside 0..{n_regions - 1}.")
    if not are_ours(patches.uuid).all():
        raise ExchangeError(f"{where}: uuid holds a UUID without our tag; create them with object_uuids.")
    repeated = first_duplicate(patches.uuid)
    if repeated is not None:
        raise ExchangeError(
            f"{where}: the UUID of patch {repeated} occurs twice; objects in QuPath are found by UUID."
        )
