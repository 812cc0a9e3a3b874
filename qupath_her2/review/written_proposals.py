"""Regions of the program's own as it wrote them: proposals, which a person accepts, edits or deletes.

They may come into QuPath before or after the image is scored, so that no region file of a score tells which of them
are new. Their UUIDs name the run that wrote them, and its ``regions.geojson`` has them as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import orjson
import shapely

from qupath_her2.project.exchange.image_ids import image_folder
from qupath_her2.project.exchange.images import PROPOSALS
from qupath_her2.project.exchange.runs import read_record
from qupath_her2.provenance import run_key_of
from qupath_her2.records import PROPOSED_CLASS
from qupath_her2.review.region_changes import Drawn, read_drawn
from qupath_her2.runs.deleted_proposals import recorded_deletions

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef

__all__ = ["regions_before"]


def regions_before(
    her2: Path, ref: SlideRef, scored: Mapping[str, Drawn], now: Iterable[str]
) -> dict[str, Drawn]:
    """Return the regions as they were before anybody changed them.

    Parameters
    ----------
    her2
        The exchange folder.
    ref
        The image, with the runs that QuPath shows.
    scored
        {UUID: annotation}, as the image was first scored.
    now
        UUIDs of the annotations that are there now.

    Returns
    -------
    dict[str, Drawn]
        {UUID: annotation}: those of people as they were scored, and those of the program as its runs wrote them, where
        the run is left. Proposals that a later run took back are not in it.

    Raises
    ------
    ExchangeError
        A run is damaged.
    """
    before = {uuid: one for uuid, one in scored.items() if one.class_name != PROPOSED_CLASS or not _key(uuid)}
    before |= _shown(her2, ref)
    runs: dict[str, dict[str, Drawn]] = {}
    for uuid in now:
        key = _key(uuid)
        if key is None or (uuid in before and before[uuid].class_name == PROPOSED_CLASS):
            continue
        if key not in runs:
            runs[key] = _written(her2, ref.id, key)
        written = runs[key].get(uuid, scored.get(uuid))
        if written is not None:
            before[uuid] = written
    return before


def _key(uuid: str) -> str | None:
    try:
        return run_key_of(UUID(uuid))
    except ValueError:
        return None


def _shown(her2: Path, ref: SlideRef) -> dict[str, Drawn]:
    """Return the proposals of the runs that QuPath shows, and those that a person had deleted before them."""
    found: dict[str, Drawn] = {}
    for folder, run in ((her2, ref.score_run), (her2 / PROPOSALS, ref.proposal_run)):
        path = image_folder(folder, ref.id) / (run or "")
        # Without its folder, nothing is known of a run but its name.
        if run is None or not path.is_dir():
            continue
        for region in recorded_deletions(path, read_record(path)):
            geometry = orjson.loads(shapely.to_geojson(region.geometry))
            found[str(region.uuid)] = Drawn(geometry, PROPOSED_CLASS, "")
        proposed = read_drawn(path / "regions.geojson").items()
        found |= {uuid: one for uuid, one in proposed if one.class_name == PROPOSED_CLASS}
    return found


def _written(her2: Path, image: str, key: str) -> dict[str, Drawn]:
    """Return the regions that a run wrote, by the key in their UUIDs; none where the run is gone."""
    for folder in (her2, her2 / PROPOSALS):
        for path in sorted(image_folder(folder, image).glob(f"{key}*")):
            if path.suffix != ".tmp" and (path / "regions.geojson").is_file():
                return read_drawn(path / "regions.geojson")
    return {}
