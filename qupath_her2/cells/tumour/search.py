"""Search for tumour among the measured cells of all tissue: proposed regions, and the cells in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.trees import Trees
from qupath_her2.cells.tile_cells import TileCells
from qupath_her2.cells.tumour.finder import tumour_probability
from qupath_her2.cells.tumour.proposals import ProposalSettings, propose_regions
from qupath_her2.project.geojson.geometry import snap
from qupath_her2.provenance import is_made_region, object_uuids
from qupath_her2.records import PROPOSED_CLASS, Box, Refusal, Region
from qupath_her2.regions import OUTSIDE, RegionMap, map_regions
from qupath_her2.setting_ranges import Text, check_settings
from qupath_her2.slides.tissue_outlines import polygon_parts

__all__ = ["FindTumourSettings", "TumourSearch", "search_tumour", "without_tumour"]

#: Until a run gives its regions their UUIDs, which contain its hash.
_NO_RUN = "0" * 64


@dataclass(frozen=True, slots=True)
class FindTumourSettings:
    """Search for tumour where no tumour region was drawn.

    Attributes
    ----------
    is_on
        Search as with ``--find-tumour``.
    finder
        Tumour finder that learned from reviews (`qupath-her2 train --recipe tumour-finder`): its name in
        ``her2/finders``, a file (path relative to this file), or ``none``: that of the package.
    proposals
        Limits and smoothness of the proposed regions.
    """

    is_on: bool = False
    finder: Annotated[str, Text("none, or the name or file of a tumour finder", r"[^\x00-\x1f]{1,4000}")] = (
        "none"
    )
    proposals: ProposalSettings = field(default_factory=ProposalSettings)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class TumourSearch:
    """Result of a search.

    Attributes
    ----------
    cells
        Cells in the proposed regions, with their probability; `region` points into `regions`.
    regions
        Scored regions, with all regions that subtract from them: the proposed ones, or, where TMA cores were searched,
        the cores.
    proposed
        The proposed regions, as tumour regions.
    refusal
        Where no tumour was found; None where it was.
    """

    cells: TileCells
    regions: RegionMap
    proposed: tuple[Region, ...]
    refusal: Refusal | None


def without_tumour(regions: Sequence[Region]) -> list[Region]:
    """Return the regions that were drawn for other tissue, which limit a search."""
    return [region for region in regions if region.role not in ("tumour", "other")]


def search_tumour(
    found: TileCells,
    regions: Sequence[Region],
    image: Box,
    pixel_size_um: float,
    settings: ProposalSettings,
    trees: Mapping[str, Trees] | None = None,
) -> TumourSearch:
    """Give each cell its probability of tumour, and propose regions around the tumour cells.

    Parameters
    ----------
    found
        All cells of the searched tissue, with `TileCells.tissue`.
    regions
        Regions of all roles. Proposals do not reach into those of other tissue. They replace a tumour region that we
        made, all tissue; one of a person, a TMA core, stays, and keeps only its cells in proposals.
    image
        The image, level-0 pixels.
    pixel_size_um
        Pixel size of level 0, µm.
    settings
        Limits and smoothness of the regions.
    trees
        As in `tumour_probability`.

    Returns
    -------
    TumourSearch
        Without cells where nothing was found.

    Raises
    ------
    ExchangeError
        When the trees of this installation were trained on other features.
    """
    probability = tumour_probability(found.tissue, found.centre_xy * pixel_size_um, trees)
    outlines = propose_regions(found.counted_xy, found.cell_xy, probability, pixel_size_um, settings)
    # The means over neighbours are done: a million cells need not carry their features to the end.
    cells = replace(
        found, tumour_probability=probability, tissue=np.zeros((len(found), 0), found.tissue.dtype)
    )
    others = without_tumour(regions)
    is_tumour = probability >= settings.min_probability
    shapes = _cut(outlines, others, image, cells.counted_xy[is_tumour], pixel_size_um, settings)
    proposed = [
        Region(UUID(bytes=uuid.tobytes()), shape, "tumour", PROPOSED_CLASS, f"Proposed tumour {number}")
        for number, (shape, uuid) in enumerate(
            zip(shapes, object_uuids(_NO_RUN, len(shapes)), strict=True), 1
        )
    ]
    place = _place(cells.counted_xy, shapes)
    inside = cells.take(place != OUTSIDE)
    refusal = None if proposed else _nothing_found(len(found), int(is_tumour.sum()), settings)
    kept = [region for region in regions if region.role == "tumour" and not is_made_region(region)]
    if kept:
        return TumourSearch(inside, map_regions(regions), tuple(proposed), refusal)
    inside = replace(inside, region=place[place != OUTSIDE])
    return TumourSearch(inside, map_regions([*proposed, *others]), tuple(proposed), refusal)


def _cut(
    outlines: Sequence[shapely.Polygon],
    others: Sequence[Region],
    image: Box,
    counted_xy: NDArray[np.float64],
    pixel_size_um: float,
    settings: ProposalSettings,
) -> list[shapely.Polygon]:
    """Return the outlines within the image and outside other regions, on QuPath's grid.

    Bits that become too small are dropped.
    """
    frame = shapely.box(image.x, image.y, image.x + image.width, image.y + image.height)
    drawn = [region.geometry for region in others]
    tree = shapely.STRtree(drawn)
    kept = []
    for outline in outlines:
        hits = tree.query(outline, "intersects").tolist()
        if not hits and shapely.covers(frame, outline):
            kept += shapely.get_parts(snap(outline)).tolist()
            continue
        shape = shapely.intersection(outline, frame)
        if hits:
            shape = shapely.difference(shape, shapely.union_all([drawn[i] for i in hits]))
        for part in polygon_parts(shape):
            if part.area * pixel_size_um**2 < settings.min_area_um2:
                continue
            shapely.prepare(part)
            if shapely.contains_xy(part, counted_xy[:, 0], counted_xy[:, 1]).sum() >= settings.min_cells:
                # As they will be stored, so that a result that is scored again finds the same cells in them.
                kept += shapely.get_parts(snap(part)).tolist()
    return kept


def _place(counted_xy: NDArray[np.float64], shapes: Sequence[shapely.Polygon]) -> NDArray[np.int32]:
    """Return the shape that holds each point, int32 (N), or -1; by a tree, as a slide may have thousands."""
    place = np.full(len(counted_xy), OUTSIDE, np.int32)
    points, holders = shapely.STRtree(shapes).query(shapely.points(counted_xy), "within")
    place[points] = holders
    return place


def _nothing_found(n_cells: int, n_tumour: int, settings: ProposalSettings) -> Refusal:
    looks = "1 looks like a tumour cell" if n_tumour == 1 else f"{n_tumour:,} look like tumour cells"
    found = f"of {n_cells:,} cells {looks}" if n_cells else "there are no cells"
    return Refusal(
        "no_tumour_found",
        f"no tumour was found: {found}, and a region needs {settings.min_cells} of them together on "
        f"{settings.min_area_um2:g} µm². Where you see invasive tumour, draw a region around it and set its class to "
        "Tumor",
    )
