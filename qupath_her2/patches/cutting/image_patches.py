"""Labelled patches of one image: on a grid or at random, labelled by region, and dropped by their pixels."""

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

__all__ = ["ImagePatches", "cut_labelled_regions", "drop_patches", "whole_image_patch"]

#: Random positions drawn per patch asked for, since the label rule rejects some of them.
_CANDIDATES = 4
_ROWS_AT_ONCE = 64


@dataclass(slots=True)
class ImagePatches:
    """N patches of one image, with columns as in `PatchManifest`.

    Attributes
    ----------
    box_xywh, label, overlap, region_uuid
        See `PatchManifest`.
    dropped
        {cause: number of patches left out}.
    problems
        One sentence for each patch that could not be read.
    """

    box_xywh: NDArray[np.int32]
    label: NDArray[np.int16]
    overlap: NDArray[np.float32]
    region_uuid: NDArray[np.uint8]
    dropped: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.label)

    def keep(self, mask: NDArray[np.bool_]) -> ImagePatches:
        """Return the patches selected by `mask`, bool (N,); counts and problems are shared with the result."""
        columns = (self.box_xywh[mask], self.label[mask], self.overlap[mask], self.region_uuid[mask])
        return ImagePatches(*columns, self.dropped, self.problems)


def whole_image_patch(width: int, height: int, label: int | None) -> ImagePatches:
    """Return a single patch that covers the image.

    Parameters
    ----------
    width, height
        Size of the image, level-0 px.
    label
        Class index of the image, None where it has no label.

    Returns
    -------
    ImagePatches
        One patch, without a region.
    """
    return ImagePatches(
        np.array([[0, 0, width, height]], np.int32),
        np.array([-1 if label is None else label], np.int16),
        np.ones(1, np.float32),
        np.zeros((1, 16), np.uint8),
    )


def cut_labelled_regions(
    width: int, height: int, labelled: LabelledRegions, scale: PatchScale, settings: PatchSettings, key: str
) -> ImagePatches:
    """Place patches over the labelled regions of an image and label them.

    Parameters
    ----------
    width, height
        Size of the image, level-0 px.
    labelled
        The image's labelled regions.
    scale
        Size of patches in this image.
    settings
        Label rule, grid or random positions, seed.
    key
        The image's id, so that each image has random positions of its own.

    Returns
    -------
    ImagePatches
        Patches for which the label rule holds, including those of regions whose class is unknown (-1).
    """
    bounds = labelled.bounds()
    if bounds is None:
        return whole_image_patch(width, height, None).keep(np.zeros(1, bool))
    if settings.random_per_image:
        return _random(width, height, labelled, scale, settings, key)
    # Boxes of the regions' bounding box suffice: outside it no patch can be labelled.
    boxes = grid_boxes(width, height, bounds, scale)
    found = label_boxes(boxes, labelled, settings.rule)
    cut = _cut(boxes, found, found.passes_rule)
    # Boxes without any region are the rest of the image and no loss; only boxes on an edge count as dropped.
    cut.dropped[f"outside the regions (rule {settings.rule.rule})"] = int(
        (found.meets_region & ~found.passes_rule).sum()
    )
    return cut


def _random(
    width: int, height: int, labelled: LabelledRegions, scale: PatchScale, settings: PatchSettings, key: str
) -> ImagePatches:
    """Draw the same number of patches for each class, so that a class with little area is not underrepresented."""
    parts = []
    wanted = settings.random_per_image
    fewer = 0
    for label in np.unique(labelled.label).tolist():
        shapes = [shape for shape, own in zip(labelled.shapes, labelled.label, strict=True) if own == label]
        boxes = random_boxes(
            # One shape, so that positions are uniform over the area of the class and not over its regions.
            shapely.union_all(shapes),
            wanted * _CANDIDATES,
            width,
            height,
            scale.side,
            settings.seed,
            f"{key}/{label}",
        )
        # A centre inside the class does not suffice: the box may lie mostly in another.
        found = label_boxes(boxes, labelled, settings.rule)
        rows = np.flatnonzero(found.passes_rule & (found.label == label))[:wanted]
        chosen = np.zeros(len(boxes), bool)
        chosen[rows] = True
        fewer += wanted - len(rows)
        parts.append(_cut(boxes, found, chosen))
    cut = ImagePatches(
        np.concatenate([part.box_xywh for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.overlap for part in parts]),
        np.concatenate([part.region_uuid for part in parts]),
    )
    cut.dropped["random places: no room"] = fewer
    return cut


def _cut(boxes: NDArray[np.int32], found: BoxLabels, mask: NDArray[np.bool_]) -> ImagePatches:
    return ImagePatches(boxes, found.label, found.overlap, found.uuid).keep(mask)


def drop_patches(
    cut: ImagePatches,
    image: ManifestImage,
    slide: Slide | None,
    settings: PatchSettings,
    threads: int | None = None,
) -> ImagePatches:
    """Drop patches by the shares of bright, white and black pixels, and patches that cannot be read.

    Parameters
    ----------
    cut
        Patches of the image.
    image
        The image.
    slide
        The image, already open; it is closed afterwards. None opens it.
    settings
        The drop rules; if none is on, no pixel is read.
    threads
        Number of threads; None takes one per core, at most 8.

    Returns
    -------
    ImagePatches
        The remaining patches, with the dropped ones counted by cause.
    """
    if len(cut) == 0 or not settings.drop.needs_pixels:
        return cut
    # In reading order neighbours are decoded together; the causes are put back in the patches' own order.
    manifest = _manifest_of(cut, image, settings)
    order = reading_order(manifest)
    cause = np.full(len(cut), "", dtype="<U16")
    with PatchPixels(manifest) as pixels:
        if slide is not None:
            pixels.adopt(0, slide)

        # Each batch writes rows of its own into `cause`, so the threads need no lock.
        def find_causes(rows: NDArray[np.int64]) -> list[str]:
            patches, failed = pixels.read_readable(rows)
            cause[rows] = drop_causes(pixel_shares(patches, settings.drop), settings.drop)
            cause[[error.row for error in failed]] = "unreadable"
            return [str(error) for error in failed]

        batches = [order[start : start + _ROWS_AT_ONCE] for start in range(0, len(order), _ROWS_AT_ONCE)]
        with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
            problems = [text for texts in pool.map(find_causes, batches) for text in texts]
    kept = cut.keep(cause == "")
    kept.problems += problems
    for name, count in zip(*np.unique(cause[cause != ""], return_counts=True), strict=True):
        kept.dropped[str(name)] += int(count)
    return kept


def _manifest_of(cut: ImagePatches, image: ManifestImage, settings: PatchSettings) -> PatchManifest:
    """Return a manifest without CLAHE in its settings, since the papers apply drop rules to the raw pixels."""
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
