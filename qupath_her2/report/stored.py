"""The regions of a finished run, read back from it."""

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
    """Return the scored regions of a run, in the order that the cells' `region` column indexes.

    `project.geojson.regions` is for people's files and leaves our own objects out; here the region that stands for
    the whole tissue, which is ours, counts too.

    Raises
    ------
    ExchangeError
        ``regions.geojson`` does not hold the regions that ``run.json`` lists.
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
            f"'{path}' is not what its run says ({type(error).__name__}: {error}). Score again with --force."
        ) from error
