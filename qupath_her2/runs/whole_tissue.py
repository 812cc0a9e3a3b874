"""Regions of our own, where no tumour region was drawn: all tissue, or proposals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import shapely

from qupath_her2.provenance import is_made_region, object_uuids
from qupath_her2.records import Region
from qupath_her2.slides.tissue_outlines import tissue_polygons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.slides.tissue import Tissue

__all__ = ["NO_ONE_CHOSE", "with_run_uuids", "whole_tissue_region", "whole_tissue_uuid"]

#: Warning wherever all tissue stands in for the tumour. Stroma and normal cells enlarge the denominator of every share,
#: so many a 1+ becomes 0.
NO_ONE_CHOSE = (
    "No one chose the tumour: all tissue was scored, stroma and normal cells included. "
    "Draw Tumor regions for a score of the tumour."
)
#: Running number of the whole-tissue region in its UUID. The last of 32 bits, as cells and patches count up from 0;
#: proposed regions count down from it.
_WHOLE_TISSUE_NUMBER = (1 << 32) - 1


def whole_tissue_region(tissue: Tissue, input_hash: str) -> Region | None:
    """Return all tissue as one tumour region of the run with this input hash; None where there is no tissue."""
    pieces = tissue_polygons(tissue)
    if not pieces:
        return None
    shape = pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)
    return Region(whole_tissue_uuid(input_hash), shape, "tumour", None, "Whole tissue")


def whole_tissue_uuid(input_hash: str) -> UUID:
    """Return the UUID of the whole-tissue region in the run with this input hash: ours, as its tag proves."""
    return _made_uuid(input_hash, 0)


def _made_uuid(input_hash: str, number: int) -> UUID:
    return UUID(bytes=object_uuids(input_hash, 1, start=_WHOLE_TISSUE_NUMBER - number)[0].tobytes())


def with_run_uuids(regions: Sequence[Region], input_hash: str) -> tuple[Region, ...]:
    """Return regions of which those that we made carry the hash of a run in their UUIDs, as its cells do.

    A later run knows them by it as objects to replace. Regions of a person keep their UUID, those that began as
    proposals included.
    """
    found, number = [], 0
    for region in regions:
        if is_made_region(region):
            region = replace(region, uuid=_made_uuid(input_hash, number))
            number += 1
        found.append(region)
    return tuple(found)
