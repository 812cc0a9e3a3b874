"""Labelled regions of an image: from annotations, from all tissue, or from the tissue outside annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
import shapely

from qupath_her2.patches.cutting.labels import LabelledRegions, label_regions
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.tasks import UNDECIDED, Task, class_index, knows_label
from qupath_her2.project.geojson.regions import RegionFile
from qupath_her2.records import CaseInfo, Region
from qupath_her2.regions import SUBTRACTING
from qupath_her2.slides.readers.slide import Slide
from qupath_her2.slides.tissue import TissueSettings, find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons

__all__ = ["ImageLabels", "labelled_regions"]

#: Tissue that was detected and not drawn has no annotation to refer to.
_NO_REGION = UUID(int=0)


@dataclass(slots=True)
class ImageLabels:
    """The labelled regions of an image.

    Attributes
    ----------
    regions
        From `labels.label_regions`.
    unknown
        {label as written: count} of labels that the task does not know.
    dropped
        {cause: count} of regions left out.
    """

    regions: LabelledRegions
    unknown: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


def labelled_regions(
    slide: Slide,
    found: RegionFile,
    task: Task,
    settings: PatchSettings,
    *,
    image_label: int | None,
    case: CaseInfo,
    pixel_size_um: float | None,
    tissue: TissueSettings | None = None,
) -> ImageLabels:
    """Return the labelled regions of an image.

    A region has its own class where the task knows it (``Tumor: 3+``). A tumour region without such a class has the
    image's label. Stroma, ignore, in-situ and control regions are subtracted. TMA cores serve as tumour regions where
    no region is drawn.

    Parameters
    ----------
    slide
        The open image, for tissue detection.
    found
        The image's annotations.
    task, settings
        The task, and which tissue counts besides annotations.
    image_label
        Class index of the image's label, None where unknown.
    case
        The image's case, for its ISH result.
    pixel_size_um
        Pixel size at level 0, µm; None where unknown.
    tissue
        Settings of tissue detection.

    Returns
    -------
    ImageLabels
        The labelled regions, with unknown labels and dropped regions counted.
    """
    drawn = [*found.labels, *found.regions]
    result = ImageLabels(label_regions([], []))
    labels = _region_labels(drawn, task, settings, image_label, case, result)
    if found.cores and not any(label is not None for label in labels.values()):
        cores = [replace(core, role="tumour") for core in found.cores]
        drawn += cores
        labels |= {core.uuid: -1 if image_label is None else image_label for core in cores}
    is_drawn = any(label is not None for label in labels.values())
    # Tissue detection reads the whole slide at low resolution: only where it is needed.
    pieces: list[Region] = []
    rest = task.class_names.index(settings.rest_label) if settings.rest_label else -1
    # An image in which nobody outlined anything else says nothing about its tissue.
    has_rest = any(label not in (None, rest) for label in labels.values()) and rest >= 0
    if (settings.whole_tissue and not is_drawn) or has_rest:
        outlines = tissue_polygons(find_tissue(slide, pixel_size_um=pixel_size_um, settings=tissue))
        pieces = [Region(_NO_REGION, outline, "other") for outline in outlines]
    known = [region for region in drawn if region.uuid in labels]
    labelled = label_regions(known, [labels[region.uuid] for region in known])
    if settings.whole_tissue and not is_drawn:
        label = -1 if image_label is None else image_label
        labelled = label_regions(
            [*known, *pieces], [*(labels[region.uuid] for region in known), *[label] * len(pieces)]
        )
    elif has_rest:
        labelled = _with_rest(labelled, pieces, found, rest)
    result.regions = labelled
    return result


def _region_labels(
    regions: Sequence[Region],
    task: Task,
    settings: PatchSettings,
    image_label: int | None,
    case: CaseInfo,
    result: ImageLabels,
) -> dict[UUID, int | None]:
    """Return {region: class index, -1 = class unknown, None = subtracted}, without regions that have no effect."""
    skipped = {name.casefold() for name in settings.skip_classes}
    labels: dict[UUID, int | None] = {}
    for region in regions:
        name = region.class_name or ""
        # For the task tumour, roles decide: the user may have renamed the classes, and "Tumor: 3+" is tumour too.
        own = (
            {"tumour": "tumour", "stroma": "non-tumour"}.get(region.role, name)
            if task.name == "tumour"
            else name
        )
        # QuPath's own class Region* marks areas of analysis and says nothing about their tissue.
        if name.casefold() in skipped or name.casefold() == "region*":
            continue
        if region.role in SUBTRACTING:
            labels[region.uuid] = None
        elif knows_label(task, own):
            index = class_index(task, own, case)
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
    labelled: LabelledRegions, pieces: Sequence[Region], found: RegionFile, label: int
) -> LabelledRegions:
    """Add the tissue outside all annotations, whatever their class."""
    drawn = [region.geometry for region in (*found.regions, *found.labels, *found.cores)]
    outlines = shapely.union_all([piece.geometry for piece in pieces])
    rest = shapely.difference(outlines, shapely.union_all(drawn)) if drawn else outlines
    # Differences of touching outlines also leave lines and points.
    parts = [part for part in shapely.get_parts(rest) if part.geom_type == "Polygon" and part.area > 0]
    return LabelledRegions(
        (*labelled.shapes, *parts),
        np.concatenate([labelled.label, np.full(len(parts), label, np.int16)]),
        np.concatenate([labelled.uuid, np.zeros((len(parts), 16), np.uint8)]),
    )
