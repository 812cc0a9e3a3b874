"""Regions of a finished run, read from its ``regions.geojson``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import orjson
import shapely.geometry

from qupath_her2.errors import ExchangeError
from qupath_her2.records import Region

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.project.exchange.run_record import RunRecord

__all__ = ["stored_regions"]


def stored_regions(run_dir: Path, record: RunRecord) -> tuple[Region, ...]:
    """Return the scored regions of a run, in the order to which the cells' `region` column refers.

    Not read with `project.geojson.regions`, which is for users' files and skips objects of our own: the region that
    stands for the whole tissue is ours, and is needed here.

    Raises
    ------
    ExchangeError
        If ``regions.geojson`` does not hold the regions listed in ``run.json``.
    """
    path = run_dir / "regions.geojson"
    try:
        features = orjson.loads(path.read_bytes())["features"]
        shapes = {str(f["id"]): shapely.geometry.shape(f["geometry"]) for f in features}
        return tuple(
            Region(UUID(entry["uuid"]), shapes[entry["uuid"]], entry["role"], entry["class"], entry["name"])
            for entry in record.regions
        )
    except (OSError, ValueError, KeyError, TypeError, shapely.errors.ShapelyError) as error:
        raise ExchangeError(
            f"'{path}' does not match its run.json ({type(error).__name__}: {error}). "
            "Score the image again with --force (run or predict)."
        ) from error
