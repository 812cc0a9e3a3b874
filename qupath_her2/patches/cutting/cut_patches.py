"""From a source of images to a manifest of labelled patches: what `qupath-her2 patches` and every recipe call."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qupath_her2.errors import ImageReadError, PatchError, RegionFileError
from qupath_her2.patches.cutting.assemble import Collected, assemble
from qupath_her2.patches.cutting.drop_causes import nothing_came_out
from qupath_her2.patches.cutting.grid import patch_scale
from qupath_her2.patches.cutting.image_patches import Cut, cut_ground, drop_patches, whole_image
from qupath_her2.patches.cutting.labelled_regions import labelled_ground
from qupath_her2.patches.cutting.labels import LabelledRegions
from qupath_her2.patches.datasets.sources import Source, SourceImage, image_size, project_source, regions_of
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.table import ManifestImage, PatchManifest
from qupath_her2.patches.tasks import (
    SEGMENTATION,
    UNDECIDED,
    Task,
    is_label,
    label_of,
    task_named,
    unknown_labels,
)
from qupath_her2.project.class_names import ClassNames
from qupath_her2.provenance import image_fingerprint
from qupath_her2.slides.readers.slide import Slide
from qupath_her2.slides.readers.view import open_view
from qupath_her2.slides.tissue import TissueSettings

__all__ = ["CutContext", "cut_patches", "manifest_from_regions"]


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


def manifest_from_regions(
    folder: Path, settings: PatchSettings | None = None, context: CutContext | None = None, **source: Any
) -> PatchManifest:
    """Cut patches from a pulled QuPath project or a folder of images with GeoJSON.

    Parameters
    ----------
    folder
        The project or folder.
    settings, context
        See `cut_patches`.
    source
        As for `source.project_source`: `her2`, `refs`, `pixel_size_um`.

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
    source
        Images with regions and labels: `project_source`, or a published data set by `load_layout`.
    settings
        Size, scale, label rule, drop rules, split, seed.
    context
        Class names, tissue, threads, whom to tell.

    Raises
    ------
    PatchError
        Nothing comes out (with counts per cause), labels that the task does not know (all are listed), or too few
        cases for the split asked for.
    """
    context = context or CutContext()
    task = task_named(settings.task)
    if task is SEGMENTATION:
        raise PatchError("Task 'segmentation' has a class a pixel: cut its windows by `cut_windows`.")
    got = Collected()
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
    if not got.cuts:
        raise PatchError(nothing_came_out(len(source.images), got.dropped))
    return assemble(got, source, settings, task, context.say)


def _cut_image(
    image: SourceImage,
    source: Source,
    settings: PatchSettings,
    task: Task,
    context: CutContext,
    got: Collected,
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
    with open_view(image.path, image.chain, width=image.width, height=image.height) as slide:
        size_um = image.pixel_size_um or slide.pixel_size_um or math.nan
        try:
            scale = patch_scale(size_um, settings.grid, image.name)
        except PatchError as error:
            got.dropped["image: no pixel size" if math.isnan(size_um) else "image: pixels too coarse"] += 1
            context.say(str(error))
            return
        ground = _ground(image, slide, label, size_um, settings, task, context, got)
        if ground is None:
            return
        if min(slide.width, slide.height) < scale.side:
            got.dropped["image: smaller than a patch"] += 1
            return
        size = (slide.width, slide.height, size_um)
        cut = cut_ground(slide.width, slide.height, ground, scale, settings, image.id)
        cut = _labelled_only(cut, settings, "no label")
        cut = drop_patches(cut, _manifest_image(image, size), slide, settings, context.threads)
    _add(cut, image, size, settings, got, "no label")
    _tell(cut, context)


def _ground(
    image: SourceImage,
    slide: Slide,
    label: int | None,
    size_um: float,
    settings: PatchSettings,
    task: Task,
    context: CutContext,
    got: Collected,
) -> LabelledRegions | None:
    """Return the labelled ground; None, counted, where there is none or only unknown labels are still looked for."""
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
        return None
    if not labelled.ground.shapes:
        got.dropped["image: no region"] += 1
        return None
    return labelled.ground


def _tell(cut: Cut, context: CutContext) -> None:
    for problem in cut.problems[:3]:
        context.say(problem)
    if len(cut.problems) > 3:
        context.say(f"… and {len(cut.problems) - 3} more patches of this image that cannot be read.")


def _image_label(image: SourceImage, task: Task, got: Collected) -> int | None:
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
    got: Collected,
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
