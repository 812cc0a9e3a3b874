"""``regions/<image>.corrections.geojson``: cells of earlier results that a person reclassified or deleted in QuPath.

QuPath's exporter writes the file with the regions, a feature per line, so that two states can be compared with any text
tool. Each feature holds the outline that the cell had in its result; a new cell whose centre lies in it stands for the
same cell. Cells that were in QuPath before any result (``--cells from-regions``) are matched by UUID, without outline.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError

__all__ = ["CellCorrections", "ChangedCell", "corrections_path", "read_corrections"]

_AGAIN = "Export the image again from QuPath (score it there, or qupath-her2 pull)."


@dataclass(frozen=True, slots=True)
class ChangedCell:
    """A cell of an earlier result with the class that a person gave it.

    Attributes
    ----------
    ring
        float64 (K, 2), the outline that the cell had in its result, open, level-0 pixels.
    centroid_xy
        Centroid of the outline that it has now, level-0 pixels; it decides in which region the cell is counted.
    class_name
        QuPath's name of its class; None without one.
    uuid
        Its UUID in QuPath; None where the file has none.
    """

    ring: NDArray[np.float64]
    centroid_xy: tuple[float, float]
    class_name: str | None
    uuid: UUID | None = None


@dataclass(frozen=True, slots=True)
class CellCorrections:
    """A person's corrections of the cells of one image.

    Attributes
    ----------
    changed
        Reclassified cells.
    deleted
        Outlines of deleted cells, float64 (K, 2) each, level-0 pixels.
    deleted_uuids
        Their UUIDs, in the same order; None where no run has the cell any more. Empty where none is known.
    existing
        {UUID: class name or None} of cells that were in QuPath before any result and were reclassified after one.
    digest
        SHA-256 of the file, 64 hex digits.
    """

    changed: tuple[ChangedCell, ...] = ()
    deleted: tuple[NDArray[np.float64], ...] = ()
    existing: dict[UUID, str | None] = field(default_factory=dict)
    digest: str = ""
    deleted_uuids: tuple[UUID | None, ...] = ()


def corrections_path(regions_path: Path, image: str) -> Path:
    """Return the path of the corrections beside the region file of an image with this id."""
    return regions_path.with_name(f"{image}.corrections.geojson")


def read_corrections(path: Path) -> CellCorrections | None:
    """Read the corrections of an image.

    Parameters
    ----------
    path
        From `corrections_path`.

    Returns
    -------
    CellCorrections | None
        None where there is no such file: nobody corrected anything.

    Raises
    ------
    ExchangeError
        The file cannot be read or is not what the exporter writes; the message names the feature.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ExchangeError(
            f"The corrections '{path}' cannot be read ({error.strerror}). {_AGAIN}"
        ) from error
    try:
        features = list(orjson.loads(data)["features"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ExchangeError(
            f"The corrections '{path}' are no feature collection ({error}). {_AGAIN}"
        ) from error
    changed, deleted, existing, uuids = [], [], {}, []
    for number, feature in enumerate(features):
        try:
            kind = feature["properties"]["change"]
            if kind == "deleted":
                deleted.append(_ring(feature))
                uuids.append(None if feature.get("id") is None else UUID(feature["id"]))
            elif kind == "class" and feature["geometry"] is None:
                existing[UUID(feature["id"])] = _class_name(feature)
            elif kind == "class":
                place = feature["properties"]["centroid"]
                centroid_xy = float(place[0]), float(place[1])
                uuid = None if feature.get("id") is None else UUID(feature["id"])
                changed.append(ChangedCell(_ring(feature), centroid_xy, _class_name(feature), uuid))
            else:
                raise ValueError(f"unknown change {kind!r}")
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ExchangeError(
                f"Feature {number} of the corrections '{path}' is damaged ({error}). {_AGAIN}"
            ) from error
    return CellCorrections(
        changed=tuple(changed),
        deleted=tuple(deleted),
        existing=existing,
        deleted_uuids=tuple(uuids),
        digest=hashlib.sha256(data).hexdigest(),
    )


def _ring(feature: dict[str, Any]) -> NDArray[np.float64]:
    ring = np.array(feature["geometry"]["coordinates"][0], np.float64)
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 4 or not np.isfinite(ring).all():
        raise ValueError(f"an outline of shape {ring.shape}")
    return ring[:-1]


def _class_name(feature: dict[str, Any]) -> str | None:
    name = feature["properties"]["class"]
    if name is not None and not isinstance(name, str):
        raise TypeError(f"a class of type {type(name).__name__}")
    return name
