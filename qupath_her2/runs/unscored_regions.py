"""Regions and TMA cores that get no score: missing, without tumour, or on an image that is not assessable.

They are recorded beside the scored ones, so that no core of a block is lost without a word: a core that was punched out
and one that is negative are different findings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.records import Region
    from qupath_her2.runs.types import FinishedImage, Inputs

__all__ = ["core_warnings", "region_entry", "unscored_entries"]

_MISSING = "The core is marked missing."
_EMPTY = "No tumour region lies in this core."
#: Names listed in a warning; ``regions.csv`` lists all.
_LISTED = 5


def core_warnings(inputs: Inputs) -> list[str]:
    """Return a warning that counts the TMA cores left without a score, by reason; empty where there are none."""
    missing, empty = inputs.region_file.missing_cores, inputs.empty_cores
    if not missing and not empty:
        return []
    total = len(inputs.region_file.cores) + len(missing)
    reasons = [
        f"{len(cores)} {words}{_names(cores)}"
        for cores, words in ((missing, "marked missing"), (empty, "without a tumour region"))
        if cores
    ]
    return [f"{len(missing) + len(empty)} of {total} TMA cores were not scored: {', '.join(reasons)}."]


def _names(cores: Sequence[Region]) -> str:
    names = [core.name for core in cores if core.name]
    if not names:
        return ""
    more = ", …" if len(names) > _LISTED else ""
    return f" ({', '.join(names[:_LISTED])}{more})"


def region_entry(region: Region, inputs: Inputs) -> dict[str, Any]:
    """Return the entry of a region in ``run.json``: identity, role, area, and whether it is a TMA core."""
    entry: dict[str, Any] = {
        "uuid": str(region.uuid),
        "name": region.name,
        "class": region.class_name,
        "role": region.role,
    }
    if inputs.pixel_size_um is not None:
        entry["area_um2"] = round(region.geometry.area * inputs.pixel_size_um**2, 1)
    cores = (*inputs.region_file.cores, *inputs.region_file.missing_cores)
    if any(core.uuid == region.uuid for core in cores):
        entry["is_core"] = True
    return entry


def unscored_entries(inputs: Inputs, finished: FinishedImage) -> tuple[dict[str, Any], ...]:
    """Return the entries of ``unscored`` in ``run.json``.

    Parameters
    ----------
    inputs
        The region file, and the cores without tumour.
    finished
        Its scored regions are left out. The others are not assessable for the reason of the image.

    Returns
    -------
    tuple[dict[str, Any], ...]
        Each from `region_entry`, with ``status`` and ``reason``.
    """
    scored = {region.uuid for region in finished.regions}
    refused = [region for region in inputs.regions if region.role == "tumour" and region.uuid not in scored]
    groups = (
        (refused, "not assessable", finished.score.reason),
        (inputs.empty_cores, "no tumour", _EMPTY),
        (inputs.region_file.missing_cores, "missing", _MISSING),
    )
    return tuple(
        {**region_entry(region, inputs), "status": status, "reason": reason}
        for regions, status, reason in groups
        for region in regions
    )
