"""One image cut into labelled patches."""

from __future__ import annotations

import math
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.patches.cutting.drop import drop_causes, pixel_shares
from qupath_her2.patches.cutting.grid import PatchScale, grid_boxes, random_boxes
from qupath_her2.patches.cutting.labels import BoxLabels, LabelledRegions, label_boxes
from qupath_her2.patches.pixels.patch_pixels import PatchPixels, reading_order
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.table import ManifestImage, PatchManifest
from qupath_her2.slides.readers.slide import Slide

__all__ = ["Cut", "cut_ground", "drop_patches", "whole_image"]

#: Candidates drawn for each random patch asked for: the label rule refuses some.
_CANDIDATES = 4
_ROWS_AT_ONCE = 64


@dataclass(slots=True)
class Cut:
    """Patches of one image; columns as in `PatchManifest`; `dropped` : {cause: patches}; `problems` : sentences."""

    box_xywh: NDArray[np.int32]
    label: NDArray[np.int16]
    overlap: NDArray[np.float32]
    region_uuid: NDArray[np.uint8]
    dropped: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.label)

    def keep(self, mask: NDArray[np.bool_]) -> Cut:
        """Return the patches that `mask`, bool (N,), keeps."""
        columns = (self.box_xywh[mask], self.label[mask], self.overlap[mask], self.region_uuid[mask])
        return Cut(*columns, self.dropped, self.problems)


def whole_image(width: int, height: int, label: int | None) -> Cut:
    """Return one patch as large as the image."""
    return Cut(
        np.array([[0, 0, width, height]], np.int32),
        np.array([-1 if label is None else label], np.int16),
        np.ones(1, np.float32),
        np.zeros((1, 16), np.uint8),
    )


def cut_ground(
    width: int, height: int, ground: LabelledRegions, scale: PatchScale, settings: PatchSettings, key: str
) -> Cut:
    """Lay patches over the labelled ground of an image and label them.

    Parameters
    ----------
    width, height
        Of the image, level-0 px.
    ground
        Who owns which part of it.
    scale
        Size of patches here.
    settings
        Rule, random places or lattice, seed.
    key
        The image's id, so that each image draws its own random places.
    """
    bounds = ground.bounds()
    if bounds is None:
        return whole_image(width, height, None).keep(np.zeros(1, bool))
    if settings.random_per_image:
        return _random(width, height, ground, scale, settings, key)
    boxes = grid_boxes(width, height, bounds, scale)
    found = label_boxes(boxes, ground, settings.rule)
    cut = _cut(boxes, found, found.belongs)
    cut.dropped[f"outside the regions (rule {settings.rule.rule})"] = int(
        (found.meets & ~found.belongs).sum()
    )
    return cut


def _random(
    width: int, height: int, ground: LabelledRegions, scale: PatchScale, settings: PatchSettings, key: str
) -> Cut:
    parts = []
    wanted = settings.random_per_image
    fewer = 0
    for label in np.unique(ground.label).tolist():
        shapes = [shape for shape, own in zip(ground.shapes, ground.label, strict=True) if own == label]
        boxes = random_boxes(
            shapely.union_all(shapes),
            wanted * _CANDIDATES,
            width,
            height,
            scale.side,
            settings.seed,
            f"{key}/{label}",
        )
        found = label_boxes(boxes, ground, settings.rule)
        rows = np.flatnonzero(found.belongs & (found.label == label))[:wanted]
        chosen = np.zeros(len(boxes), bool)
        chosen[rows] = True
        fewer += wanted - len(rows)
        parts.append(_cut(boxes, found, chosen))
    cut = Cut(
        np.concatenate([part.box_xywh for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.overlap for part in parts]),
        np.concatenate([part.region_uuid for part in parts]),
    )
    cut.dropped["random places: no room"] = fewer
    return cut


def _cut(boxes: NDArray[np.int32], found: BoxLabels, mask: NDArray[np.bool_]) -> Cut:
    return Cut(boxes, found.label, found.overlap, found.uuid).keep(mask)


def drop_patches(
    cut: Cut, image: ManifestImage, slide: Slide | None, settings: PatchSettings, threads: int | None = None
) -> Cut:
    """Leave out patches by what their pixels show, and those that cannot be read.

    Parameters
    ----------
    cut
        Patches of the image.
    image
        Where they lie.
    slide
        The image, open, and closed after this; None opens it.
    settings
        The rules; where none is on, no pixel is read.
    threads
        That read and count; as many as there are cores (at most 8) where None.
    """
    if len(cut) == 0 or not settings.drop.needs_pixels:
        return cut
    manifest = _manifest_of(cut, image, settings)
    order = reading_order(manifest)
    cause = np.full(len(cut), "", dtype="<U16")
    with PatchPixels(manifest) as pixels:
        if slide is not None:
            pixels.adopt(0, slide)

        def judge(rows: NDArray[np.int64]) -> list[str]:
            patches, failed = pixels.read_readable(rows)
            cause[rows] = drop_causes(pixel_shares(patches, settings.drop), settings.drop)
            cause[[error.row for error in failed]] = "unreadable"
            return [str(error) for error in failed]

        batches = [order[start : start + _ROWS_AT_ONCE] for start in range(0, len(order), _ROWS_AT_ONCE)]
        with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
            problems = [text for texts in pool.map(judge, batches) for text in texts]
    kept = cut.keep(cause == "")
    kept.problems += problems
    for name, count in zip(*np.unique(cause[cause != ""], return_counts=True), strict=True):
        kept.dropped[str(name)] += int(count)
    return kept


def _manifest_of(cut: Cut, image: ManifestImage, settings: PatchSettings) -> PatchManifest:
    """Return a manifest of one image; raw pixels, since the papers judge them before any equalisation."""
    n = len(cut)
    return PatchManifest(
        image=np.zeros(n, np.int32),
        box_xywh=cut.box_xywh,
        label=cut.label,
        overlap=cut.overlap,
        region_uuid=cut.region_uuid,
        split=np.full(n, -1, np.int8),
        images=(image,),
        class_names=(),
        patch_size_px=settings.grid.patch_size_px,
        pixel_size_um=math.nan,
        task=settings.task,
    )
