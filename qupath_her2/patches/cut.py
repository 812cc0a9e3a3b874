"""From a source of images to a manifest of labelled patches: what `qupath-her2 patches` and every recipe call."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from qupath_her2.errors import ImageReadError, PatchError, RegionFileError
from qupath_her2.patches.grid import patch_scale
from qupath_her2.patches.ground import labelled_ground
from qupath_her2.patches.image_cut import Cut, cut_ground, drop_patches, whole_image
from qupath_her2.patches.manifest import ManifestImage, PatchManifest, check_manifest
from qupath_her2.patches.settings import PatchSettings, settings_of_manifest
from qupath_her2.patches.source import Source, SourceImage, image_size, project_source, regions_of
from qupath_her2.patches.splits import PATCH_LEVEL, case_groups, split_by_case, split_by_patch, unknown_cases
from qupath_her2.patches.tasks import UNDECIDED, Task, is_label, label_of, task_named, unknown_labels
from qupath_her2.project.vocabulary import ClassNames
from qupath_her2.provenance import image_fingerprint
from qupath_her2.slides import TissueSettings, open_view

__all__ = ["CutContext", "cut_patches", "manifest_from_regions"]

#: What to do about the most frequent cause, where nothing comes out.
_CURES = {
    "image: no region": "Draw regions and give them a class, or pass --whole-tissue.",
    "image: no label": "Add a column 'label' to cases.csv, or pass --keep-unlabelled.",
    "no label": "Give the regions a class that the task knows, add a column 'label' to cases.csv, or pass "
    "--keep-unlabelled.",
    "image: no pixel size": "Set it in QuPath (Image tab → Pixel width), or pass --pixel-size-um 0.25.",
    "image: pixels too coarse": "Pass a larger --um-px, or 0 for images as they lie.",
    "image: smaller than a patch": "Pass a smaller --size or --um-px.",
    "bright": "Pass --drop none or --drop white-black.",
    "white": "Pass --drop none.",
    "black": "Pass --drop none.",
}


@dataclass(frozen=True, slots=True)
class CutContext:
    """What cutting needs beside the patches' own settings.

    `class_names` : which annotation classes mean what; `tissue` : how tissue is told from glass; `threads` : that read
    pixels; `listen` : called with each sentence worth telling; `progress` : called with (images done, images, name).
    """

    class_names: ClassNames | None = None
    tissue: TissueSettings | None = None
    threads: int | None = None
    listen: Callable[[str], None] | None = None
    progress: Callable[[int, int, str], None] | None = None

    def say(self, sentence: str) -> None:
        """Tell a sentence to whoever listens."""
        if self.listen is not None:
            self.listen(sentence)


@dataclass(slots=True)
class _Collected:
    """Patches and counts of the images so far."""

    images: list[ManifestImage] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    splits: list[int] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


def manifest_from_regions(
    folder: Path, settings: PatchSettings | None = None, context: CutContext | None = None, **source: Any
) -> PatchManifest:
    """Cut patches from a pulled QuPath project or a folder of images with GeoJSON.

    Parameters
    ----------
    folder : the project or folder.
    settings, context : see `cut_patches`.
    source : as for `source.project_source`: `her2`, `refs`, `pixel_size_um`.

    Raises
    ------
    Her2Error
        As `cut_patches` and `project_source`.
    """
    settings = settings or PatchSettings()
    task = task_named(settings.task)
    found = project_source(folder, task=task, label_column=settings.label_column, **source)
    return cut_patches(found, settings, context)


def cut_patches(source: Source, settings: PatchSettings, context: CutContext | None = None) -> PatchManifest:
    """Cut, label, drop and split patches of all images of a source.

    The same source and settings give the same manifest. Images that cannot be used are told to `context.listen`,
    counted and passed over.

    Parameters
    ----------
    source : images with regions and labels: `project_source`, or a published data set by `load_layout`.
    settings : size, scale, label rule, drop rules, split, seed.
    context : class names, tissue, threads, whom to tell.

    Raises
    ------
    PatchError
        Nothing comes out (with counts per cause), labels that the task does not know (all are listed), or too few
        cases for the split asked for.
    """
    context = context or CutContext()
    task = task_named(settings.task)
    got = _Collected()
    for number, image in enumerate(source.images):
        if context.progress is not None:
            context.progress(number, len(source.images), image.name)
        try:
            _cut_image(image, source, settings, task, context, got)
        except (ImageReadError, RegionFileError) as error:
            got.dropped["image: cannot be read"] += 1
            context.say(str(error))
    if context.progress is not None:
        context.progress(len(source.images), len(source.images), "")
    if got.unknown:
        raise PatchError(
            unknown_labels(task, got.unknown)
            + " Annotation classes that are no labels: pass --skip-class NAME for each."
        )
    dropped = {cause: count for cause, count in sorted(got.dropped.items()) if count}
    if not got.cuts:
        raise PatchError(_nothing(source, dropped))
    return _split(_manifest(got, source, settings, task, dropped), source, settings, context)


def _nothing(source: Source, dropped: dict[str, int]) -> str:
    listed = "; ".join(f"{cause}: {count}" for cause, count in dropped.items()) or "no region"
    most = max(dropped, key=lambda cause: dropped[cause], default="image: no region")
    cure = _CURES.get(most, "Check the regions and the settings.")
    n = len(source.images)
    return f"No patch came out of {n} image{'s' * (n != 1)}: {listed}. {cure}"


def _cut_image(
    image: SourceImage,
    source: Source,
    settings: PatchSettings,
    task: Task,
    context: CutContext,
    got: _Collected,
) -> None:
    if image.problem is not None:
        got.dropped["image: left out"] += 1
        context.say(image.problem)
        return
    label = _image_label(image, task, got)
    if settings.whole_image or source.are_crops:
        width, height, size_um = image_size(image)
        _add(
            whole_image(width, height, label),
            image,
            (width, height, size_um),
            settings,
            got,
            "image: no label",
        )
        return
    slide = open_view(image.path, image.chain, width=image.width, height=image.height)
    try:
        size_um = image.pixel_size_um or slide.pixel_size_um or math.nan
        size = (slide.width, slide.height, size_um)
        try:
            scale = patch_scale(size_um, settings.grid, image.name)
        except PatchError as error:
            got.dropped["image: no pixel size" if math.isnan(size_um) else "image: pixels too coarse"] += 1
            context.say(str(error))
            return
        found = regions_of(image, slide.width, slide.height, context.class_names)
        for feature in found.quarantined:
            context.say(f"Image '{image.name}', feature {feature.index}: {feature.reason}.")
        labelled = labelled_ground(
            slide,
            found,
            task,
            settings,
            image_label=label,
            case=image.case,
            pixel_size_um=None if math.isnan(size_um) else size_um,
            tissue=context.tissue,
        )
        got.unknown += labelled.unknown
        got.dropped += labelled.dropped
        if got.unknown:
            # The rest of the images is only asked for more unknown labels.
            return
        if not labelled.ground.shapes:
            got.dropped["image: no region"] += 1
        elif min(slide.width, slide.height) < scale.side:
            got.dropped["image: smaller than a patch"] += 1
        else:
            cut = cut_ground(slide.width, slide.height, labelled.ground, scale, settings, image.id)
            cut = _labelled_only(cut, settings, "no label")
            cut = drop_patches(cut, _manifest_image(image, size), slide, settings, context.threads)
            _add(cut, image, size, settings, got, "no label")
            _tell(cut, context)
    finally:
        slide.close()


def _tell(cut: Cut, context: CutContext) -> None:
    for problem in cut.problems[:3]:
        context.say(problem)
    if len(cut.problems) > 3:
        context.say(f"… and {len(cut.problems) - 3} more patches of this image that cannot be read.")


def _image_label(image: SourceImage, task: Task, got: _Collected) -> int | None:
    """Return the class of the whole image; None where it has none, or where only ISH could say."""
    if image.label is None:
        return None
    if not is_label(task, image.label):
        got.unknown[image.label] += 1
        return None
    index = label_of(task, image.label, image.case)
    got.dropped[f"image: {UNDECIDED}"] += index is None
    return index


def _labelled_only(cut: Cut, settings: PatchSettings, cause: str) -> Cut:
    if settings.keep_unlabelled:
        return cut
    kept = cut.keep(cut.label >= 0)
    kept.dropped[cause] += len(cut) - len(kept)
    return kept


def _add(
    cut: Cut,
    image: SourceImage,
    size: tuple[int, int, float],
    settings: PatchSettings,
    got: _Collected,
    cause: str,
) -> None:
    cut = _labelled_only(cut, settings, cause)
    got.dropped += cut.dropped
    if len(cut):
        got.images.append(replace(_manifest_image(image, size), fingerprint=_fingerprint(image)))
        got.cuts.append(cut)
        got.splits.append(image.split)


def _manifest_image(image: SourceImage, size: tuple[int, int, float]) -> ManifestImage:
    width, height, size_um = size
    return ManifestImage(
        image.id, image.name, image.path, image.case.case, size_um, width, height, image.chain
    )


def _fingerprint(image: SourceImage) -> str:
    try:
        return image_fingerprint(image.path)
    except OSError as error:
        raise ImageReadError(
            f"Image '{image.name}' cannot be read: {error.strerror or error} ({image.path}). Check the path."
        ) from error


def _manifest(
    got: _Collected, source: Source, settings: PatchSettings, task: Task, dropped: dict[str, int]
) -> PatchManifest:
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
        dropped=dropped,
    )
    check_manifest(manifest)
    return manifest


def _split(
    manifest: PatchManifest, source: Source, settings: PatchSettings, context: CutContext
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
    context.say(
        f"Not split: {n} case{'s' * (n != 1)} cannot be split by case. Add cases, or pass --split by-patch."
    )
    return manifest
