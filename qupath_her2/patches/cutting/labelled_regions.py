"""What ground of an image is labelled, and with what: annotations, the whole tissue, the rest of the tissue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
import shapely

from qupath_her2.patches.cutting.labels import LabelledRegions, label_regions
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.tasks import UNDECIDED, Task, is_label, label_of
from qupath_her2.project.geojson.regions import RegionFile
from qupath_her2.records import CaseInfo, Region
from qupath_her2.regions import SUBTRACTING
from qupath_her2.slides.readers.slide import Slide
from qupath_her2.slides.tissue import TissueSettings, find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons

__all__ = ["Labelled", "labelled_ground"]

_NO_REGION = UUID(int=0)


@dataclass(slots=True)
class Labelled:
    """The labelled regions of an image.

    Attributes
    ----------
    ground
        From `labels.label_regions`.
    unknown
        {label as written: count} of labels that the task does not know.
    dropped
        {cause: count} of regions left out.
    """

    ground: LabelledRegions
    unknown: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


def labelled_ground(
    slide: Slide,
    found: RegionFile,
    task: Task,
    settings: PatchSettings,
    *,
    image_label: int | None,
    case: CaseInfo,
    pixel_size_um: float | None,
    tissue: TissueSettings | None = None,
) -> Labelled:
    """Return what ground of an image has which class.

    A region's own class counts where the task knows it (``Tumor: 3+``); a tumour region without such a class has
    the image's; stroma, ignore, in-situ and control regions take their ground away. TMA cores stand for tumour
    regions where none is drawn.

    Parameters
    ----------
    slide
        Open, for the tissue.
    found
        The image's annotations.
    task, settings
        Of the patches.
    image_label
        Class index of the whole image, None where unknown.
    case
        For ISH.
    pixel_size_um
        Of level 0, µm, or None.
    tissue
        How tissue is told from glass.
    """
    drawn = [*found.labels, *found.regions]
    result = Labelled(label_regions([], []))
    labels = _region_labels(drawn, task, settings, image_label, case, result)
    if found.cores and not any(label is not None for label in labels.values()):
        cores = [replace(core, role="tumour") for core in found.cores]
        drawn += cores
        labels |= {core.uuid: -1 if image_label is None else image_label for core in cores}
    is_drawn = any(label is not None for label in labels.values())
    pieces: list[Region] = []
    if (settings.whole_tissue and not is_drawn) or settings.rest_label:
        outlines = tissue_polygons(find_tissue(slide, pixel_size_um=pixel_size_um, settings=tissue))
        pieces = [Region(_NO_REGION, outline, "other") for outline in outlines]
    known = [region for region in drawn if region.uuid in labels]
    ground = label_regions(known, [labels[region.uuid] for region in known])
    if settings.whole_tissue and not is_drawn:
        label = -1 if image_label is None else image_label
        ground = label_regions(
            [*known, *pieces], [*(labels[region.uuid] for region in known), *[label] * len(pieces)]
        )
    elif settings.rest_label:
        ground = _with_rest(ground, pieces, found, task.class_names.index(settings.rest_label))
    result.ground = ground
    return result


def _region_labels(
    regions: Sequence[Region],
    task: Task,
    settings: PatchSettings,
    image_label: int | None,
    case: CaseInfo,
    result: Labelled,
) -> dict[UUID, int | None]:
    """Return {region: class index, -1 unknown, None takes ground away}; regions that decide nothing are left out."""
    skipped = {name.casefold() for name in settings.skip_classes}
    labels: dict[UUID, int | None] = {}
    for region in regions:
        name = region.class_name or ""
        own = (
            {"tumour": "tumour", "stroma": "non-tumour"}.get(region.role, name)
            if task.name == "tumour"
            else name
        )
        if name.casefold() in skipped or name.casefold() == "region*":
            continue
        if region.role in SUBTRACTING:
            labels[region.uuid] = None
        elif is_label(task, own):
            index = label_of(task, own, case)
            labels[region.uuid] = -1 if index is None else index
            result.dropped[f"region: {UNDECIDED}"] += index is None
        elif region.role == "tumour":
            labels[region.uuid] = -1 if image_label is None else image_label
        elif region.role == "stroma":
            labels[region.uuid] = None
        else:
            result.unknown[name] += 1
    return labels


def _with_rest(
    ground: LabelledRegions, pieces: Sequence[Region], found: RegionFile, label: int
) -> LabelledRegions:
    """Add the tissue outside everything that anybody drew."""
    drawn = [region.geometry for region in (*found.regions, *found.labels, *found.cores)]
    outlines = shapely.union_all([piece.geometry for piece in pieces])
    rest = shapely.difference(outlines, shapely.union_all(drawn)) if drawn else outlines
    parts = [part for part in shapely.get_parts(rest) if part.geom_type == "Polygon" and part.area > 0]
    return LabelledRegions(
        (*ground.shapes, *parts),
        np.concatenate([ground.label, np.full(len(parts), label, np.int16)]),
        np.concatenate([ground.uuid, np.zeros((len(parts), 16), np.uint8)]),
    )
