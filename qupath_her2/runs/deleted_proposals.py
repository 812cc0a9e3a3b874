"""Proposed tumour regions that a person deleted in QuPath: they are not proposed again until she asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import shapely
import shapely.geometry

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.images import PROPOSALS, exchange_root
from qupath_her2.project.exchange.runs import read_record
from qupath_her2.records import PROPOSED_CLASS, Region
from qupath_her2.report.stored import stored_regions

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.project.geojson.regions import RegionFile
    from qupath_her2.records import SlideRef

__all__ = ["DELETED", "deleted_entries", "deleted_proposals", "deleted_warning", "recorded_deletions"]

#: Entry of ``run.json`` under ``settings.used``.
DELETED = "deleted_proposals"


def deleted_proposals(her2: Path, ref: SlideRef, found: RegionFile) -> tuple[Region, ...]:
    """Return the proposals that a person deleted, now or before an earlier run, as regions to ignore.

    A proposal is deleted where the run that QuPath shows holds it and the exported annotations do not: accepted,
    reshaped and renamed ones keep their UUID. *Remove HER2 results* deletes nothing in this sense, as QuPath then shows
    no run.

    Parameters
    ----------
    her2
        The exchange folder, or that of proposals in it.
    ref
        The image, with the runs that QuPath shows.
    found
        Its annotations as exported.

    Returns
    -------
    tuple[Region, ...]
        Sorted by UUID; empty for a folder of images, to which no proposal returns.

    Raises
    ------
    ExchangeError
        A run that QuPath shows is damaged.
    """
    root = exchange_root(her2.absolute())
    present = {region.uuid for region in (*found.regions, *found.proposals)}
    present |= {UUID(feature.id) for feature in found.quarantined if _is_uuid(feature.id)}
    deleted: dict[UUID, Region] = {}
    for folder, run in ((root, ref.score_run), (root / PROPOSALS, ref.proposal_run)):
        run_dir = folder / "results" / ref.id / (run or "")
        # Without its folder, nothing is known of a run but its name.
        if run is None or not run_dir.is_dir():
            continue
        record = read_record(run_dir)
        gone = [
            region
            for region in stored_regions(run_dir, record)
            if region.class_name == PROPOSED_CLASS and region.uuid not in present
        ]
        for region in (*recorded_deletions(run_dir, record), *gone):
            deleted[region.uuid] = _ignored(region.uuid, region.geometry)
    return tuple(deleted[uuid] for uuid in sorted(deleted))


def _ignored(uuid: UUID, shape: shapely.Geometry) -> Region:
    return Region(uuid, shape, "ignore", None, "Deleted proposal")


def _is_uuid(text: str | None) -> bool:
    try:
        UUID(text or "")
    except ValueError:
        return False
    return True


def recorded_deletions(run_dir: Path, record: RunRecord) -> list[Region]:
    """Return the proposals that a person had deleted before a run, as it recorded them.

    Raises
    ------
    ExchangeError
        The record is damaged.
    """
    entries = record.settings.get("used", {}).get(DELETED, {})
    try:
        return [_ignored(UUID(uuid), shapely.from_wkt(text)) for uuid, text in entries.items()]
    except (AttributeError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
        raise ExchangeError(
            f"'{run_dir / 'run.json'}' is damaged ({error}). Score the image again with --force (run or predict)."
        ) from error


def deleted_entries(deleted: tuple[Region, ...]) -> dict[str, str]:
    """Return {UUID: outline in well-known text, level-0 pixels}, for ``run.json``."""
    return {str(region.uuid): shapely.to_wkt(region.geometry, rounding_precision=-1) for region in deleted}


def deleted_warning(deleted: tuple[Region, ...]) -> list[str]:
    """Return a warning that names how many proposals are left out; empty where none is."""
    if not deleted:
        return []
    n = len(deleted)
    those, stay, again = (
        ("1 proposed region that was", "stays", "it")
        if n == 1
        else (f"{n:,} proposed regions that were", "stay", "them")
    )
    return [f"{those} deleted in QuPath {stay} left out; to have {again} proposed again, pass --force."]
