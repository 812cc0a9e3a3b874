"""Extraction of windows with one class per pixel, for training segmenters (recipe ``her2net``)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError, ImageReadError, PatchError, RegionFileError
from qupath_her2.patches.cutting.assemble import (
    Collected,
    assemble_manifest,
    manifest_image,
    no_patches_message,
)
from qupath_her2.patches.cutting.crop_windows import crop_windows
from qupath_her2.patches.cutting.cut_patches import CutContext
from qupath_her2.patches.cutting.grid import PatchScale, patch_scale
from qupath_her2.patches.cutting.image_patches import ImagePatches
from qupath_her2.patches.datasets.sources import Source, SourceImage, regions_of
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.table import PatchManifest
from qupath_her2.patches.targets.mask_targets import mask_path
from qupath_her2.patches.targets.stored_targets import TARGETS_KEY, TargetPacker, Targets
from qupath_her2.patches.targets.targets import IGNORE, TARGET_CLASSES, TargetFrame
from qupath_her2.patches.targets.window_targets import Truth, image_truth
from qupath_her2.patches.tasks import SEGMENTATION, TASKS, class_index, knows_label
from qupath_her2.slides.readers.view import open_view

__all__ = ["SCORES_KEY", "cut_windows", "scores_of"]

#: Key in the manifest's settings: {image id: HER2 score}, for images that a person scored.
SCORES_KEY = "scores"
#: Where the image is one crop, targets are rasterised in blocks of this many windows across.
_WINDOWS_AT_ONCE = 8

_SCORES = TASKS["her2-4"]


@dataclass(slots=True)
class _Found:
    """Windows so far: `collected` as patches labelled with their image's score, `targets` in the same order."""

    targets: TargetPacker
    collected: Collected = field(default_factory=Collected)


def cut_windows(
    source: Source, settings: PatchSettings, context: CutContext | None = None, *, her2: Path | None = None
) -> tuple[PatchManifest, Targets]:
    """Cut windows from all images, rasterise their targets, and split them by case.

    The label of a window is its most frequent class. The split is stratified by the HER2 scores of the images, where
    a person scored them; the scores are kept in the manifest's settings, for figures per score.

    Parameters
    ----------
    source
        Images with masks, annotations or cells.
    settings
        ``grid`` sets the window, ``segmentation`` the ground truth; also split and seed.
    context
        Class names and callbacks; images that cannot be used are reported and counted.
    her2
        The exchange folder, needed for the truth ``results``.

    Returns
    -------
    PatchManifest
        N windows of task ``segmentation``.
    Targets
        The class of each pixel of the N windows, in the manifest's order.

    Raises
    ------
    PatchError
        No window is left (the message counts the causes), or there are too few cases for the split asked for.
    """
    context = context or CutContext()
    found = _Found(TargetPacker(settings.grid.patch_size_px, len(TARGET_CLASSES)))
    masks = {mask_path(image.path, settings.segmentation.masks) for image in source.images}
    # In a plain folder the masks were found as images too.
    images = [image for image in source.images if image.path not in masks]
    for number, image in enumerate(images):
        if context.progress is not None:
            context.progress(number, len(images), image.name)
        try:
            _cut_image(image, settings, context, her2, found)
        except (ImageReadError, RegionFileError, ExchangeError) as error:
            found.collected.dropped["image: cannot be read"] += 1
            context.notify(str(error))
    if context.progress is not None:
        context.progress(len(images), len(images), "")
    if len(found.targets) == 0:
        raise PatchError(no_patches_message(len(images), found.collected.dropped))
    # Labelled by score so far, so that the split is stratified by score; then the pixel classes become the labels.
    manifest = assemble_manifest(found.collected, source, settings, _SCORES, context.notify)
    targets = found.targets.packed()
    return _with_targets(manifest, targets), targets


def _with_targets(manifest: PatchManifest, targets: Targets) -> PatchManifest:
    scores = {
        image.id: manifest.class_names[manifest.label[manifest.image == number][0]]
        for number, image in enumerate(manifest.images)
        if manifest.label[manifest.image == number][0] >= 0
    }
    return replace(
        manifest,
        label=targets.counts.argmax(1).astype(np.int16),
        class_names=TARGET_CLASSES,
        task=SEGMENTATION.name,
        settings={**manifest.settings, SCORES_KEY: scores, TARGETS_KEY: targets.digest()},
    )


def scores_of(manifest: PatchManifest) -> list[str]:
    """Return the HER2 score of each image, "" where no person gave one."""
    scores: dict[str, Any] = manifest.settings.get(SCORES_KEY, {})
    return [str(scores.get(image.id, "")) for image in manifest.images]


def _cut_image(
    image: SourceImage, settings: PatchSettings, context: CutContext, her2: Path | None, found: _Found
) -> None:
    dropped = found.collected.dropped
    if image.problem is not None:
        dropped["image: left out"] += 1
        context.notify(image.problem)
        return
    with open_view(image.path, image.chain, width=image.width, height=image.height) as slide:
        size = (slide.width, slide.height)
        size_um = image.pixel_size_um or slide.pixel_size_um or math.nan
    # Patches can do without a pixel size at --um-px 0; membranes cannot.
    if not math.isfinite(size_um):
        dropped["image: no pixel size"] += 1
        context.notify(_NO_SIZE.format(image.name))
        return
    try:
        scale = patch_scale(size_um, settings.grid, image.name)
    except PatchError as error:
        dropped["image: pixels too coarse"] += 1
        context.notify(str(error))
        return
    regions = regions_of(image, slide, context.class_names)
    for feature in regions.quarantined:
        context.notify(f"Image '{image.name}', feature {feature.index}: {feature.reason}.")
    truth = image_truth(image, regions, settings.segmentation, size=size, her2=her2)
    if truth is None:
        dropped["image: no truth"] += 1
        return
    windows = _windows(size, scale, settings)
    if len(windows) == 0:
        dropped["image: smaller than a crop"] += 1
        return
    # First, as it can fail: an image that fails later would leave its targets without their patches.
    described = manifest_image(image, (*size, size_um), with_fingerprint=True)
    cut = _windows_with_truth(windows, truth, scale, settings, found, _score(image, context))
    if len(cut):
        found.collected.images.append(described)
        found.collected.cuts.append(cut)
        found.collected.splits.append(image.split)


_NO_SIZE = (
    "Image '{}' has no pixel size, but the membrane width is in µm. Set it in QuPath (Image tab → Pixel width) or "
    "pass --pixel-size-um 0.25."
)


def _windows(size: tuple[int, int], scale: PatchScale, settings: PatchSettings) -> NDArray[np.int32]:
    # crop_px is in px of the window; boxes are in level-0 px.
    crop = round(settings.segmentation.crop_px * scale.side / settings.grid.patch_size_px)
    return crop_windows(*size, window=scale.side, crop=crop)


def _windows_with_truth(
    windows: NDArray[np.int32],
    truth: Truth,
    scale: PatchScale,
    settings: PatchSettings,
    found: _Found,
    score: int,
) -> ImagePatches:
    """Return the windows with enough known pixels, labelled with their image's score; their targets are packed."""
    kept, shares = [], []
    for rows, pictures in _targets(windows, truth, scale, settings):
        for row, target in zip(rows.tolist(), pictures, strict=True):
            # A window without any known pixel teaches nothing, whatever least_known says.
            known = float((target != IGNORE).mean())
            if known == 0 or known < settings.segmentation.least_known:
                found.collected.dropped["too little known"] += 1
                continue
            kept.append(windows[row])
            shares.append(known)
            found.targets.add(target)
    n = len(kept)
    return ImagePatches(
        np.array(kept, np.int32).reshape(n, 4),
        np.full(n, score, np.int16),
        np.array(shares, np.float32),
        np.zeros((n, 16), np.uint8),
    )


def _targets(
    windows: NDArray[np.int32], truth: Truth, scale: PatchScale, settings: PatchSettings
) -> Iterator[tuple[NDArray[np.int64], list[NDArray[np.uint8]]]]:
    """Yield rows and their targets; windows of one crop are rasterised together, since outlines cross several."""
    side, px = scale.side, settings.grid.patch_size_px
    crop = round(settings.segmentation.crop_px * side / px) or _WINDOWS_AT_ONCE * side
    places = windows[:, :2].astype(np.int64)
    _, part = np.unique(places // crop, axis=0, return_inverse=True)
    for number in range(int(part.max()) + 1):
        rows = np.flatnonzero(part.reshape(-1) == number)
        x, y = places[rows].min(0).tolist()
        # Windows touch without gaps, so the block's target is cut into theirs at multiples of the window's side.
        columns, lines = ((places[rows] - (x, y)) // side).T.tolist()
        frame = TargetFrame(x, y, (max(columns) + 1) * px, (max(lines) + 1) * px, scale.um_px, side / px)
        whole = truth(frame)
        cells = zip(columns, lines, strict=True)
        yield rows, [whole[j * px : (j + 1) * px, i * px : (i + 1) * px].copy() for i, j in cells]


def _score(image: SourceImage, context: CutContext) -> int:
    """Return the index of the image's HER2 score, -1 where no person gave one."""
    if image.label is None:
        return -1
    if not knows_label(_SCORES, image.label):
        context.notify(f"Image '{image.name}': label {image.label!r} is not a HER2 score and was ignored.")
        return -1
    index = class_index(_SCORES, image.label, image.case)
    return -1 if index is None else index
