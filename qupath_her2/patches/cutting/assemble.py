"""Patches of all images put into one manifest and split."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from qupath_her2.errors import PatchError
from qupath_her2.patches.cutting.image_patches import Cut
from qupath_her2.patches.datasets.sources import Source
from qupath_her2.patches.settings import PatchSettings, settings_of_manifest
from qupath_her2.patches.splits import PATCH_LEVEL, case_groups, split_by_case, split_by_patch, unknown_cases
from qupath_her2.patches.table import ManifestImage, PatchManifest, check_manifest
from qupath_her2.patches.tasks import Task

__all__ = ["Collected", "assemble"]


@dataclass(slots=True)
class Collected:
    """Patches and counts of the images so far.

    `images`, `cuts`, `splits` : one an image with patches; `dropped` : {cause: count}; `unknown` : {label as written:
    times} that the task does not know.
    """

    images: list[ManifestImage] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    splits: list[int] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


def assemble(
    got: Collected, source: Source, settings: PatchSettings, task: Task, say: Callable[[str], None]
) -> PatchManifest:
    """Return the manifest of all patches, split as the settings say.

    Parameters
    ----------
    got
        At least one image with patches.
    source, settings, task
        Of the patches.
    say
        Told where ``auto`` leaves the patches unsplit.

    Raises
    ------
    PatchError
        Too few cases for the split asked for, or a published one where there is none.
    """
    manifest = _split(_manifest(got, source, settings, task), source, settings, say)
    missing = _not_in_train(manifest)
    if missing:
        say(f"No patch for training has the class {', '.join(missing)}: all its cases stand on another side.")
    return manifest


def _not_in_train(manifest: PatchManifest) -> list[str]:
    if not (manifest.split >= 0).any():
        return []
    there, trained = (
        set(manifest.label[rows].tolist()) - {-1} for rows in (manifest.split >= -1, manifest.split == 0)
    )
    return [manifest.class_names[label] for label in sorted(there - trained)]


def _manifest(got: Collected, source: Source, settings: PatchSettings, task: Task) -> PatchManifest:
    counts = [len(cut) for cut in got.cuts]
    is_native = settings.whole_image or source.are_crops or settings.grid.target_um_px == 0
    manifest = PatchManifest(
        image=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        box_xywh=np.concatenate([cut.box_xywh for cut in got.cuts]),
        label=np.concatenate([cut.label for cut in got.cuts]),
        overlap=np.concatenate([cut.overlap for cut in got.cuts]),
        region_uuid=np.concatenate([cut.region_uuid for cut in got.cuts]),
        split=np.repeat(np.array(got.splits, np.int8), counts),
        images=tuple(got.images),
        class_names=task.class_names,
        patch_size_px=settings.grid.patch_size_px,
        pixel_size_um=math.nan if is_native else settings.grid.target_um_px,
        task=task.name,
        settings=settings_of_manifest(settings, source.layout),
        dropped={cause: count for cause, count in sorted(got.dropped.items()) if count},
    )
    check_manifest(manifest)
    return manifest


def _split(
    manifest: PatchManifest, source: Source, settings: PatchSettings, say: Callable[[str], None]
) -> PatchManifest:
    kind = settings.split
    if kind == "as-published" and not source.has_split:
        raise PatchError(f"Layout '{source.layout}' publishes no split. Pass --split by-case.")
    if kind == "as-published" or (kind == "auto" and source.has_split):
        unknown = unknown_cases(manifest)
        warning = f"Split as published; {unknown} images have no known case: figures are {PATCH_LEVEL}."
        how = {"kind": "as published", "warning": warning if unknown else None}
        return replace(manifest, settings={**manifest.settings, "split": how})
    manifest = replace(manifest, split=np.full(len(manifest), -1, np.int8))
    if kind == "none":
        return manifest
    if kind == "by-patch":
        return split_by_patch(manifest, settings.shares, settings.seed)
    try:
        return split_by_case(manifest, settings.shares, settings.seed, settings.stratify)
    except PatchError:
        if kind != "auto":
            raise
    n = len(case_groups(manifest)[1])
    say(f"Not split: {n} case{'s' * (n != 1)} cannot be split by case. Add cases, or pass --split by-patch.")
    return manifest
