"""Sources of patches: images with labels, cases and annotations, from a project, a folder or a published data set."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import JpegImagePlugin, PngImagePlugin

from qupath_her2.errors import ImageReadError, PatchError
from qupath_her2.patches.tasks import SEGMENTATION, TASKS, Task, knows_label
from qupath_her2.project.cases import metadata_column, read_case_column, value_of_image
from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.drawn_xml.aperio import read_aperio_regions
from qupath_her2.project.exchange.images import read_metadata
from qupath_her2.project.folder import (
    OUTPUT_NAME,
    find_cases_file,
    find_images,
    not_exported_message,
    project_file,
    project_folder,
    pulled_images,
)
from qupath_her2.project.geojson.regions import RegionFile
from qupath_her2.project.region_formats import DrawnImage, read_region_file
from qupath_her2.records import CaseInfo, SlideRef
from qupath_her2.slides.readers.base import checked_pixel_size
from qupath_her2.slides.readers.view import open_view

__all__ = ["Source", "SourceImage", "image_size", "project_source", "regions_of"]

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image with its label, case and annotation file.

    Attributes
    ----------
    id, name, path, chain
        As in `records.SlideRef`.
    case
        Case and ISH result; `CaseInfo.case` is None where no case id is given.
    pixel_size_um
        Pixel size at level 0, µm; None where it is only known from the file.
    width, height
        Size at level 0 as QuPath shows the image, px; None where it is only known from the file.
    label
        Label of the whole image, as written; None where there is none.
    regions_path
        The annotation file, of any format that `project.region_formats` reads.
    are_all_tumour
        Every region of that file is tumour, whatever its layer is called.
    split
        Index into `table.SPLITS` where the data set publishes a split, otherwise -1.
    problem
        Reason the image cannot be used, where it is known before the image is opened.
    """

    id: str
    name: str
    path: Path
    case: CaseInfo = field(default_factory=CaseInfo)
    pixel_size_um: float | None = None
    width: int | None = None
    height: int | None = None
    chain: tuple[dict[str, Any], ...] = ()
    label: str | None = None
    regions_path: Path | None = None
    are_all_tumour: bool = False
    split: int = -1
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """The images of a project, folder or data set.

    Attributes
    ----------
    layout
        ``project``, or the data set's name in `loaders.LAYOUTS`.
    images
        The images, usable or not.
    has_split
        True where the data set publishes a train and test split.
    are_crops
        True where each image is a patch already.
    notes
        Warnings to print with any figure computed on this source.
    """

    layout: str
    images: tuple[SourceImage, ...]
    has_split: bool = False
    are_crops: bool = False
    notes: tuple[str, ...] = ()


def project_source(
    folder: Path,
    *,
    task: Task,
    refs: Sequence[SlideRef] | None = None,
    her2: Path | None = None,
    label_column: str = "",
    pixel_size_um: float | None = None,
) -> Source:
    """Return the images of a pulled QuPath project, or of a plain folder with GeoJSON next to the images.

    Labels of images are the pathologist's: from a column of ``cases.csv``, otherwise from the metadata of the project
    entry. Scores that this package wrote there are never read back as labels.

    Parameters
    ----------
    folder
        The project's folder or file, or a folder of images.
    task
        The task, whose name decides the label columns to look for.
    refs
        The images to use; None takes all.
    her2
        The exchange folder; None takes ``her2`` in `folder`.
    label_column
        Label column to use; empty tries the names usual for the task.
    pixel_size_um
        Pixel size of all images, µm; overrides QuPath's value and the file's.

    Returns
    -------
    Source
        One `SourceImage` per image, including those that cannot be used, with their problem.

    Raises
    ------
    Her2Error
        There is no image, or the project was not pulled.
    PatchError
        No table and no image has `label_column`.
    SettingsError
        `pixel_size_um` is not plausible for a microscope.
    """
    checked_pixel_size(pixel_size_um)
    root = project_folder(folder)
    her2 = her2 or root / OUTPUT_NAME
    found = pulled_images(her2) if refs is None else list(refs)
    if found is None:
        # A project's own list of images is in QuPath's format; without a pull its annotations would be missing.
        if project_file(folder) is not None and not (her2 / "images.json").is_file():
            raise PatchError(not_exported_message(folder, "cut patches"))
        found = find_images(root, her2=her2)
    labels = _image_labels(root, her2, found, _columns(task, label_column), is_asked_for=bool(label_column))
    # One column 'label' serves the scores of a study and the training of its tumour network, which learns from regions.
    if task is TASKS["tumour"] and not label_column:
        labels = {image: label for image, label in labels.items() if not knows_label(TASKS["her2-4"], label)}
    return Source("project", tuple(_source_image(ref, labels.get(ref.id), pixel_size_um) for ref in found))


def _source_image(ref: SlideRef, label: str | None, pixel_size_um: float | None) -> SourceImage:
    problem = None
    if ref.refusal is not None:
        problem = f"Image '{ref.name}' was left out: {ref.refusal.reason}."
    # A control slide shows tissue or cell lines of another origin than the case.
    elif ref.case.is_control:
        problem = f"Image '{ref.name}' was left out: it is a control."
    return SourceImage(
        id=ref.id,
        name=ref.name,
        path=ref.path,
        case=ref.case,
        pixel_size_um=pixel_size_um or ref.pixel_size_um,
        width=ref.width,
        height=ref.height,
        chain=ref.chain,
        label=label,
        regions_path=ref.regions_path,
        problem=problem,
    )


def _columns(task: Task, label_column: str) -> tuple[str, ...]:
    if label_column:
        return (label_column,)
    # A segmenter has no label of images, but its split is stratified by their HER2 scores.
    if task.name.startswith("her2") or task is SEGMENTATION:
        return ("label", "her2", "her2_label", "her2_ihc", "ihc", "ihc_score", "her2_score")
    # Only names that say what was assessed: a column "status" might be ER in one cohort and PR in the next.
    return ("label", task.name, f"{task.name}_status")


def _image_labels(
    root: Path, her2: Path, refs: Sequence[SlideRef], columns: Sequence[str], *, is_asked_for: bool
) -> dict[str, str]:
    """Return {image id: label as written}; ``cases.csv`` takes precedence over the project's metadata."""
    cases_path = find_cases_file(root, her2)
    # The first of `columns` that the table has.
    column, values = read_case_column(cases_path, columns) if cases_path else (None, {})
    metadata = read_metadata(her2)
    labels: dict[str, str] = {}
    for ref in refs:
        label = value_of_image(values, ref.name) or metadata_column(metadata.get(ref.id, {}), columns)
        if label is not None:
            labels[ref.id] = label
    if is_asked_for and column is None and not labels:
        raise PatchError(
            f"Neither cases.csv nor any image's metadata have a column '{columns[0]}'. Check --label-column."
        )
    return labels


def regions_of(image: SourceImage, slide: DrawnImage, names: ClassNames | None = None) -> RegionFile:
    """Read the annotations of an image.

    Parameters
    ----------
    image
        The image, with its annotation file.
    slide
        The same image, opened; it may be closed again.
    names
        Roles of annotation classes; None takes the defaults.

    Returns
    -------
    RegionFile
        Regions in level-0 px; empty where the image has no annotation file.

    Raises
    ------
    RegionFileError
        The file cannot be read.
    """
    if image.regions_path is None:
        return RegionFile()
    if image.are_all_tumour:
        return read_aperio_regions(
            image.regions_path, image_width=slide.width, image_height=slide.height, every_class="Tumor"
        )
    return read_region_file(image.regions_path, slide, class_names=names)


def image_size(image: SourceImage) -> tuple[int, int, float]:
    """Return width, height (px) and pixel size (µm, NaN where unknown) of an image; raises ImageReadError.

    Only the headers of PNG and JPEG files are read: published data sets have thousands of them, and the reader for
    flat images would decode each.
    """
    known = math.nan if image.pixel_size_um is None else image.pixel_size_um
    # By content and not by suffix, as everywhere in `slides.readers`.
    try:
        with image.path.open("rb") as stream:
            # The signatures of both formats fit.
            head = stream.read(16)
            stream.seek(0)
            # An image with a crop or rotation has another size than its file: it takes the slow way below.
            if not image.chain and head.startswith(_PNG):
                with PngImagePlugin.PngImageFile(stream) as png:
                    return png.width, png.height, known
            if not image.chain and head.startswith(_JPEG):
                with JpegImagePlugin.JpegImageFile(stream) as jpeg:
                    return jpeg.width, jpeg.height, known
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise ImageReadError(
            f"Image '{image.name}' cannot be read: {error} ({image.path}). Copy or export the image again."
        ) from error
    with open_view(image.path, image.chain, width=image.width, height=image.height) as slide:
        size_um = image.pixel_size_um or slide.pixel_size_um
        return slide.width, slide.height, math.nan if size_um is None else size_um
