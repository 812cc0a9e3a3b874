"""From a source of images to windows whose every pixel has a class: what recipe ``her2net`` calls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError, ImageReadError, PatchError, RegionFileError
from qupath_her2.patches.cutting.assemble import Collected, assemble
from qupath_her2.patches.cutting.crop_windows import crop_windows
from qupath_her2.patches.cutting.cut_patches import CutContext
from qupath_her2.patches.cutting.drop_causes import nothing_came_out
from qupath_her2.patches.cutting.grid import PatchScale, patch_scale
from qupath_her2.patches.cutting.image_patches import Cut
from qupath_her2.patches.datasets.sources import Source, SourceImage, regions_of
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.table import ManifestImage, PatchManifest
from qupath_her2.patches.targets.mask_targets import mask_path
from qupath_her2.patches.targets.stored_targets import TARGETS_KEY, TargetPacker, Targets
from qupath_her2.patches.targets.targets import IGNORE, TARGET_CLASSES, TargetFrame
from qupath_her2.patches.targets.window_targets import Truth, image_truth
from qupath_her2.patches.tasks import SEGMENTATION, TASKS, is_label, label_of
from qupath_her2.provenance import image_fingerprint
from qupath_her2.slides.readers.view import open_view

__all__ = ["SCORES_KEY", "cut_windows", "scores_of"]

#: Of the manifest's settings: {image id: HER2 score}, of the images whose score a person gave.
SCORES_KEY = "scores"
#: Windows across a part of an image whose target is drawn at once, where the image is one crop.
_WINDOWS_AT_ONCE = 8

_SCORES = TASKS["her2-4"]


@dataclass(slots=True)
class _Found:
    """Windows so far: `got` as patches labelled by their image's score, `targets` in the same order."""

    targets: TargetPacker
    got: Collected = field(default_factory=Collected)


def cut_windows(
    source: Source, settings: PatchSettings, context: CutContext | None = None, *, her2: Path | None = None
) -> tuple[PatchManifest, Targets]:
    """Cut windows of all images, draw their targets, and split them by case.

    The label of a window is its most frequent class. Cases are split within the HER2 scores of their images, where
    a person gave them; those stand in the manifest's settings, for figures by score.

    Parameters
    ----------
    source
        Images with masks, annotations or cells.
    settings
        ``grid`` is the window, ``segmentation`` the truth; split and seed.
    context
        Class names and whom to tell; images that cannot be used are told and counted.
    her2
        The exchange folder, for the truth ``results``.

    Raises
    ------
    PatchError
        Nothing comes out (with counts per cause), or too few cases for the split asked for.
    """
    context = context or CutContext()
    found = _Found(TargetPacker(settings.grid.patch_size_px, len(TARGET_CLASSES)))
    masks = {mask_path(image.path, settings.segmentation.masks) for image in source.images}
    # A folder's masks are pictures too, but none to learn from.
    images = [image for image in source.images if image.path not in masks]
    for number, image in enumerate(images):
        if context.progress is not None:
            context.progress(number, len(images), image.name)
        try:
            _cut_image(image, settings, context, her2, found)
        except (ImageReadError, RegionFileError, ExchangeError) as error:
            found.got.dropped["image: cannot be read"] += 1
            context.say(str(error))
    if context.progress is not None:
        context.progress(len(images), len(images), "")
    if len(found.targets) == 0:
        raise PatchError(nothing_came_out(len(images), found.got.dropped))
    # Split within scores, as patches of scores are; then the pixels' classes take their place.
    manifest = assemble(found.got, source, settings, _SCORES, context.say)
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
    """Return the HER2 score of each image's person, "" where nobody gave one."""
    scores: dict[str, Any] = manifest.settings.get(SCORES_KEY, {})
    return [str(scores.get(image.id, "")) for image in manifest.images]


def _cut_image(
    image: SourceImage, settings: PatchSettings, context: CutContext, her2: Path | None, found: _Found
) -> None:
    dropped = found.got.dropped
    if image.problem is not None:
        dropped["image: left out"] += 1
        context.say(image.problem)
        return
    with open_view(image.path, image.chain, width=image.width, height=image.height) as slide:
        size = (slide.width, slide.height)
        size_um = image.pixel_size_um or slide.pixel_size_um or math.nan
    if not math.isfinite(size_um):
        dropped["image: no pixel size"] += 1
        context.say(_NO_SIZE.format(image.name))
        return
    try:
        scale = patch_scale(size_um, settings.grid, image.name)
    except PatchError as error:
        dropped["image: pixels too coarse"] += 1
        context.say(str(error))
        return
    regions = regions_of(image, *size, context.class_names)
    for feature in regions.quarantined:
        context.say(f"Image '{image.name}', feature {feature.index}: {feature.reason}.")
    truth = image_truth(image, regions, settings.segmentation, size=size, her2=her2)
    if truth is None:
        dropped["image: no truth"] += 1
        return
    windows = _windows(size, scale, settings)
    if len(windows) == 0:
        dropped["image: smaller than a crop"] += 1
        return
    described = _manifest_image(image, (*size, size_um))
    cut = _known_windows(windows, truth, scale, settings, found, _score(image, context))
    if len(cut):
        found.got.images.append(described)
        found.got.cuts.append(cut)
        found.got.splits.append(image.split)


_NO_SIZE = (
    "Image '{}' has no pixel size, and membranes have a width in µm. Set it in QuPath (Image tab → Pixel width) or "
    "pass --pixel-size-um 0.25."
)


def _windows(size: tuple[int, int], scale: PatchScale, settings: PatchSettings) -> NDArray[np.int32]:
    crop = round(settings.segmentation.crop_px * scale.side / settings.grid.patch_size_px)
    return crop_windows(*size, window=scale.side, crop=crop)


def _known_windows(
    windows: NDArray[np.int32],
    truth: Truth,
    scale: PatchScale,
    settings: PatchSettings,
    found: _Found,
    score: int,
) -> Cut:
    """Return the windows of which enough is known, labelled by their image's score; their targets are packed."""
    kept, shares = [], []
    for rows, pictures in _targets(windows, truth, scale, settings):
        for row, target in zip(rows.tolist(), pictures, strict=True):
            known = float((target != IGNORE).mean())
            if known == 0 or known < settings.segmentation.least_known:
                found.got.dropped["too little known"] += 1
                continue
            kept.append(windows[row])
            shares.append(known)
            found.targets.add(target)
    n = len(kept)
    return Cut(
        np.array(kept, np.int32).reshape(n, 4),
        np.full(n, score, np.int16),
        np.array(shares, np.float32),
        np.zeros((n, 16), np.uint8),
    )


def _targets(
    windows: NDArray[np.int32], truth: Truth, scale: PatchScale, settings: PatchSettings
) -> Iterator[tuple[NDArray[np.int64], list[NDArray[np.uint8]]]]:
    """Yield rows and their targets; windows of a crop are drawn together, as an outline meets several."""
    side, px = scale.side, settings.grid.patch_size_px
    crop = round(settings.segmentation.crop_px * side / px) or _WINDOWS_AT_ONCE * side
    places = windows[:, :2].astype(np.int64)
    _, part = np.unique(places // crop, axis=0, return_inverse=True)
    for number in range(int(part.max()) + 1):
        rows = np.flatnonzero(part.reshape(-1) == number)
        x, y = places[rows].min(0).tolist()
        columns, lines = ((places[rows] - (x, y)) // side).T.tolist()
        frame = TargetFrame(x, y, (max(columns) + 1) * px, (max(lines) + 1) * px, scale.um_px, side / px)
        whole = truth(frame)
        cells = zip(columns, lines, strict=True)
        yield rows, [whole[j * px : (j + 1) * px, i * px : (i + 1) * px].copy() for i, j in cells]


def _score(image: SourceImage, context: CutContext) -> int:
    """Return the index of the image's HER2 score, -1 where nobody gave one."""
    if image.label is None:
        return -1
    if not is_label(_SCORES, image.label):
        context.say(f"Image '{image.name}': label {image.label!r} is no HER2 score and was passed over.")
        return -1
    index = label_of(_SCORES, image.label, image.case)
    return -1 if index is None else index


def _manifest_image(image: SourceImage, size: tuple[int, int, float]) -> ManifestImage:
    width, height, size_um = size
    try:
        fingerprint = image_fingerprint(image.path)
    except OSError as error:
        raise ImageReadError(
            f"Image '{image.name}' cannot be read: {error.strerror or error} ({image.path}). Check the path."
        ) from error
    return ManifestImage(
        image.id, image.name, image.path, image.case.case, size_um, width, height, image.chain, fingerprint
    )
