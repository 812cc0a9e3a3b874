"""Areas that are cut out of the scored regions: pen and folds before cells are sought, what lies out of focus after it.

They are stored with the run, so that its overlay can be drawn again and another tool can see what was left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import shapely
import shapely.geometry

from qupath_her2.records import CutArea, Region
from qupath_her2.slides.tissue_outlines import polygon_parts, tissue_polygons

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from qupath_her2.slides.tissue import Tissue

__all__ = ["cut_entries", "marked_areas", "marked_warnings", "stored_cut", "without_marks"]

#: A region that consists of pen by more than this share was drawn around tissue of that colour: the way out of tissue
#: that is taken for pen marks.
_MOSTLY_PEN = 0.5
#: Region of a mark, never stored or shown.
_MARK_UUID = UUID(int=0)


def marked_areas(tissue: Tissue, regions: Sequence[Region]) -> tuple[CutArea, ...]:
    """Return the pen marks and folds in the tumour regions of an image.

    Parameters
    ----------
    tissue
        With the masks of both.
    regions
        Regions of all roles.

    Returns
    -------
    tuple[CutArea, ...]
        At most one of each kind.
    """
    tumour = [region.geometry for region in regions if region.role == "tumour"]
    found = []
    kinds: tuple[tuple[Literal["pen", "fold"], NDArray[Any] | None], ...] = (
        ("pen", tissue.ink),
        ("fold", tissue.folds),
    )
    for kind, mask in kinds:
        if mask is None or not mask.any() or not tumour:
            continue
        marks = shapely.union_all(tissue_polygons(replace(tissue, mask=mask)))
        inside = [
            covered
            for region, covered in zip(tumour, shapely.intersection(marks, tumour), strict=True)
            if kind != "pen" or covered.area <= _MOSTLY_PEN * region.area
        ]
        parts = polygon_parts(shapely.union_all(inside))
        if parts:
            found.append(CutArea(kind, shapely.MultiPolygon(parts)))
    return tuple(found)


def without_marks(regions: tuple[Region, ...], cut: Iterable[CutArea]) -> tuple[Region, ...]:
    """Return the regions with the marked areas as ignored ones, which subtract from the scored regions."""
    return (*regions, *(Region(_MARK_UUID, area.geometry, "ignore") for area in cut))


def marked_warnings(cut: Iterable[CutArea], pixel_size_um: float | None) -> list[str]:
    """Return a sentence for each kind of mark that was cut out."""
    names = {"pen": "Pen marks cover", "fold": "Folds of the tissue cover"}
    unit = "px²" if pixel_size_um is None else "mm²"
    factor = 1.0 if pixel_size_um is None else pixel_size_um**2 / 1e6
    return [
        f"{names[area.kind]} {area.geometry.area * factor:.2g} {unit} of the scored regions; "
        "that area was cut out and is not scored."
        for area in cut
        if area.kind in names
    ]


def cut_entries(cut: Iterable[CutArea]) -> list[dict[str, Any]]:
    """Return the areas for ``run.json``: kind, number of cells, GeoJSON geometry in level-0 pixels."""
    return [
        {"kind": area.kind, "n_cells": area.n_cells, "geometry": shapely.geometry.mapping(area.geometry)}
        for area in cut
    ]


def stored_cut(entries: Iterable[dict[str, Any]]) -> tuple[CutArea, ...]:
    """Return the areas that `cut_entries` stored; a KeyError or ValueError tells of damaged ones."""
    return tuple(
        CutArea(entry["kind"], shapely.geometry.shape(entry["geometry"]), int(entry["n_cells"]))
        for entry in entries
    )
