"""Extraction of labelled patches from a source of images; used by `qupath-her2 patches` and by every recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qupath_her2.errors import ImageReadError, PatchError, RegionFileError
from qupath_her2.patches.cutting.assemble import (
    Collected,
    assemble_manifest,
    manifest_image,
    no_patches_message,
)
from qupath_her2.patches.cutting.grid import patch_scale
from qupath_her2.patches.cutting.image_patches import (
    ImagePatches,
    cut_labelled_regions,
    drop_patches,
    whole_image_patch,
)
from qupath_her2.patches.cutting.labelled_regions import labelled_regions
from qupath_her2.patches.cutting.labels import LabelledRegions
from qupath_her2.patches.datasets.sources import Source, SourceImage, image_size, project_source, regions_of
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.table import PatchManifest
from qupath_her2.patches.tasks import (
    SEGMENTATION,
    UNDECIDED,
    Task,
    class_index,
    find_task,
    knows_label,
    unknown_labels_message,
)
from qupath_her2.project.class_names import ClassNames
from qupath_her2.slides.readers.slide import Slide
from qupath_her2.slides.readers.view import open_view
from qupath_her2.slides.tissue import TissueSettings

__all__ = ["CutContext", "cut_patches", "manifest_from_regions"]


@dataclass(frozen=True, slots=True)
class CutContext:
    """What cutting needs besides `PatchSettings`.

    Attributes
    ----------
    class_names
        Roles of annotation classes; None takes the defaults.
    tissue
        Settings of tissue detection.
    threads
        Number of threads that read pixels; None takes one per core, at most 8.
    listen
        Called with each warning.
    progress
        Called with (images done, images in all, name of the next image).
    """

    class_names: ClassNames | None = None
    tissue: TissueSettings | None = None
    threads: int | None = None
    listen: Callable[[str], None] | None = None
    progress: Callable[[int, int, str], None] | None = None

    def notify(self, sentence: str) -> None:
        """Pass a warning on to `listen`."""
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
    **source
        Arguments of `sources.project_source`: `her2`, `refs`, `pixel_size_um`.

    Returns
    -------
    PatchManifest
        The patches of all images.

    Raises
    ------
    Her2Error
        See `cut_patches` and `sources.project_source`.
    """
    settings = settings or PatchSettings()
    task = find_task(settings.task)
    found = project_source(folder, task=task, label_column=settings.label_column, **source)
    return cut_patches(found, settings, context)


def cut_patches(source: Source, settings: PatchSettings, context: CutContext | None = None) -> PatchManifest:
    """Cut, label, drop and split patches of all images of a source.

    The same source and settings give the same manifest. Images that cannot be used are skipped, counted and reported
    to `context.listen`.

    Parameters
    ----------
    source
        Images with regions and labels, from `project_source` or `load_layout`.
    settings
        Size, scale, label rule, drop rules, split, seed.
    context
        Class names, tissue detection, threads, callbacks.

    Returns
    -------
    PatchManifest
        The patches of all images, in the order of the images.

    Raises
    ------
    PatchError
        No patch is left (the message counts the causes), the task does not know some labels (the message lists all),
        or there are too few cases for the split asked for.
    """
    context = context or CutContext()
    task = find_task(settings.task)
    if task is SEGMENTATION:
        raise PatchError(
            "Task 'segmentation' has one class per pixel. Use `cut_windows`, or pass --recipe her2net."
        )
    collected = Collected()
    for number, image in enumerate(source.images):
        if context.progress is not None:
            context.progress(number, len(source.images), image.name)
        # One broken file among hundreds of slides must not stop the others.
        try:
            _cut_image(image, source, settings, task, context, collected)
        except (ImageReadError, RegionFileError) as error:
            collected.dropped["image: cannot be read"] += 1
            context.notify(str(error))
    if context.progress is not None:
        context.progress(len(source.images), len(source.images), "")
    # Unlike a broken file, an unknown label stops everything: dropping its patches would change the data set silently.
    if collected.unknown:
        raise PatchError(
            unknown_labels_message(task, collected.unknown)
            + " To ignore annotation classes that are not labels, pass --skip-class NAME for each."
        )
    if not collected.cuts:
        raise PatchError(no_patches_message(len(source.images), collected.dropped))
    return assemble_manifest(collected, source, settings, task, context.notify)


def _cut_image(
    image: SourceImage,
    source: Source,
    settings: PatchSettings,
    task: Task,
    context: CutContext,
    collected: Collected,
) -> None:
    """Cut one image and add its patches to `collected`."""
    if image.problem is not None:
        collected.dropped["image: left out"] += 1
        context.notify(image.problem)
        return
    label = _image_label(image, task, collected)
    # Only the size is read here: a data set of crops may have thousands of files.
    if settings.whole_image or source.are_crops:
        width, height, size_um = image_size(image)
        _add(
            whole_image_patch(width, height, label),
            image,
            (width, height, size_um),
            settings,
            collected,
            "image: no label",
        )
        return
    with open_view(image.path, image.chain, width=image.width, height=image.height) as slide:
        size_um = image.pixel_size_um or slide.pixel_size_um or math.nan
        try:
            scale = patch_scale(size_um, settings.grid, image.name)
        except PatchError as error:
            collected.dropped[
                "image: no pixel size" if math.isnan(size_um) else "image: pixels too coarse"
            ] += 1
            context.notify(str(error))
            return
        # Before the size check, so that unknown labels are found even in images too small for a patch.
        labelled = _labelled_regions(image, slide, label, size_um, settings, task, context, collected)
        if labelled is None:
            return
        if min(slide.width, slide.height) < scale.side:
            collected.dropped["image: smaller than a patch"] += 1
            return
        size = (slide.width, slide.height, size_um)
        # Unlabelled patches go before the drop rules, which have to read every patch's pixels.
        cut = cut_labelled_regions(slide.width, slide.height, labelled, scale, settings, image.id)
        cut = _labelled_only(cut, settings, "no label")
        cut = drop_patches(cut, manifest_image(image, size), slide, settings, context.threads)
    _add(cut, image, size, settings, collected, "no label")
    _report_problems(cut, context)


def _labelled_regions(
    image: SourceImage,
    slide: Slide,
    label: int | None,
    size_um: float,
    settings: PatchSettings,
    task: Task,
    context: CutContext,
    collected: Collected,
) -> LabelledRegions | None:
    """Return the labelled regions of an image; None where there are none, or where an unknown label was found.

    After the first unknown label cutting will fail in any case; the other images are read only to list all of them.
    """
    found = regions_of(image, slide, context.class_names)
    for feature in found.quarantined:
        context.notify(f"Image '{image.name}', feature {feature.index}: {feature.reason}.")
    labels = labelled_regions(
        slide,
        found,
        task,
        settings,
        image_label=label,
        case=image.case,
        pixel_size_um=None if math.isnan(size_um) else size_um,
        tissue=context.tissue,
    )
    collected.unknown += labels.unknown
    collected.dropped += labels.dropped
    if collected.unknown:
        return None
    if not labels.regions.shapes:
        collected.dropped["image: no region"] += 1
        return None
    return labels.regions


def _report_problems(cut: ImagePatches, context: CutContext) -> None:
    # A damaged slide fails in hundreds of patches; the counts say the rest.
    for problem in cut.problems[:3]:
        context.notify(problem)
    if len(cut.problems) > 3:
        context.notify(f"… and {len(cut.problems) - 3} more patches of this image that cannot be read.")


def _image_label(image: SourceImage, task: Task, collected: Collected) -> int | None:
    """Return the class index of the image's label; None without a label, or for a 2+ that needs an ISH result."""
    if image.label is None:
        return None
    # Collected like unknown annotation classes, so that one error lists both.
    if not knows_label(task, image.label):
        collected.unknown[image.label] += 1
        return None
    index = class_index(task, image.label, image.case)
    collected.dropped[f"image: {UNDECIDED}"] += index is None
    return index


def _labelled_only(cut: ImagePatches, settings: PatchSettings, cause: str) -> ImagePatches:
    # Prediction needs patches of regions whose class is still to be found.
    if settings.keep_unlabelled:
        return cut
    kept = cut.keep(cut.label >= 0)
    kept.dropped[cause] += len(cut) - len(kept)
    return kept


def _add(
    cut: ImagePatches,
    image: SourceImage,
    size: tuple[int, int, float],
    settings: PatchSettings,
    collected: Collected,
    cause: str,
) -> None:
    cut = _labelled_only(cut, settings, cause)
    collected.dropped += cut.dropped
    # Images without patches stay out of the manifest; the fingerprint reads the file, so only where it is needed.
    if len(cut):
        collected.images.append(manifest_image(image, size, with_fingerprint=True))
        collected.cuts.append(cut)
        collected.splits.append(image.split)
