"""The manifest of a whole source: patches of all images concatenated and split, or the reason why there are none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from qupath_her2.errors import ImageReadError, PatchError
from qupath_her2.patches.cutting.image_patches import ImagePatches
from qupath_her2.patches.datasets.sources import Source, SourceImage
from qupath_her2.patches.published_split import split_as_published
from qupath_her2.patches.settings import PatchSettings, settings_of_manifest
from qupath_her2.patches.splits import case_groups, leaked_cases, split_by_case, split_by_patch
from qupath_her2.patches.table import ManifestImage, PatchManifest, check_manifest
from qupath_her2.patches.tasks import Task, image_label
from qupath_her2.provenance import image_fingerprint

__all__ = ["Collected", "assemble_manifest", "manifest_image", "no_patches_message"]


@dataclass(slots=True)
class Collected:
    """Patches and counts of the images processed so far.

    Attributes
    ----------
    images, cuts, splits
        One entry per image with patches: the image, its patches, and its published split (-1 = none).
    dropped
        {cause: count} of patches, regions and images left out.
    unknown
        {label as written: count} of labels that the task does not know.
    """

    images: list[ManifestImage] = field(default_factory=list)
    cuts: list[ImagePatches] = field(default_factory=list)
    splits: list[int] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


def manifest_image(
    image: SourceImage, size: tuple[int, int, float], *, with_fingerprint: bool = False
) -> ManifestImage:
    """Return the entry of an image in a manifest.

    Parameters
    ----------
    image
        The image.
    size
        Width and height, px, and pixel size, µm (NaN where unknown), at level 0.
    with_fingerprint
        Compute the fingerprint, for which the file is read; otherwise it is empty.

    Returns
    -------
    ManifestImage
        The entry.

    Raises
    ------
    ImageReadError
        The file cannot be read.
    """
    try:
        fingerprint = image_fingerprint(image.path) if with_fingerprint else ""
    except OSError as error:
        raise ImageReadError(
            f"Image '{image.name}' cannot be read: {error.strerror or error} ({image.path}). Check the path."
        ) from error
    width, height, size_um = size
    return ManifestImage(
        image.id,
        image.name,
        image.path,
        image.case.case,
        size_um,
        width,
        height,
        image.chain,
        fingerprint,
        image_label(image.label, image.case),
    )


def assemble_manifest(
    collected: Collected, source: Source, settings: PatchSettings, task: Task, notify: Callable[[str], None]
) -> PatchManifest:
    """Concatenate the patches of all images and split them.

    Parameters
    ----------
    collected
        Patches of at least one image.
    source, settings, task
        What the patches were cut from, and how.
    notify
        Called with a warning where ``auto`` leaves the patches unsplit, or where train lacks a class.

    Returns
    -------
    PatchManifest
        All patches, in the order of the images.

    Raises
    ------
    PatchError
        There are too few cases for the split asked for, or a published split is asked for where there is none.
    """
    manifest = _split(_manifest(collected, source, settings, task), source, settings, notify)
    missing = _not_in_train(manifest)
    if missing:
        notify(
            f"The training part has no patch of class {', '.join(missing)}: all its cases are in other parts. "
            "Add cases, or try another --seed."
        )
    return manifest


def _not_in_train(manifest: PatchManifest) -> list[str]:
    """Return the classes that occur among the patches, but not in the training part."""
    if not (manifest.split >= 0).any():
        return []
    # Parts from -1: all patches, those of cases left unsplit too. Label -1 is no class.
    there, trained = (
        set(manifest.label[rows].tolist()) - {-1} for rows in (manifest.split >= -1, manifest.split == 0)
    )
    return [manifest.class_names[label] for label in sorted(there - trained)]


def _manifest(collected: Collected, source: Source, settings: PatchSettings, task: Task) -> PatchManifest:
    counts = [len(cut) for cut in collected.cuts]
    # Images used at their own scale may differ in pixel size: one figure for all would be wrong.
    is_native = settings.whole_image or source.are_crops or settings.grid.target_um_px == 0
    manifest = PatchManifest(
        image=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        box_xywh=np.concatenate([cut.box_xywh for cut in collected.cuts]),
        label=np.concatenate([cut.label for cut in collected.cuts]),
        overlap=np.concatenate([cut.overlap for cut in collected.cuts]),
        region_uuid=np.concatenate([cut.region_uuid for cut in collected.cuts]),
        split=np.repeat(np.array(collected.splits, np.int8), counts),
        images=tuple(collected.images),
        class_names=task.class_names,
        patch_size_px=settings.grid.patch_size_px,
        pixel_size_um=math.nan if is_native else settings.grid.target_um_px,
        task=task.name,
        settings=settings_of_manifest(settings, source.layout),
        dropped={cause: count for cause, count in sorted(collected.dropped.items()) if count},
    )
    check_manifest(manifest)
    return manifest


def _split(
    manifest: PatchManifest, source: Source, settings: PatchSettings, notify: Callable[[str], None]
) -> PatchManifest:
    kind = settings.split
    # Never replaced silently: a published split that is asked for decides which figures can be compared.
    if kind == "as-published" and not source.has_split:
        raise PatchError(f"Layout '{source.layout}' publishes no split. Pass --split by-case.")
    if source.has_split and kind in ("auto", "as-published"):
        leaked = leaked_cases(manifest)
        if kind == "as-published" or not leaked:
            return split_as_published(manifest, settings.shares, settings.seed, settings.stratify)
        notify(
            f"The published split has {len(leaked)} cases in both training and test; cases are split anew. "
            "--split as-published keeps it."
        )
    # A split that the data set publishes but that was not asked for is dropped.
    manifest = replace(manifest, split=np.full(len(manifest), -1, np.int8))
    if kind == "none":
        return manifest
    if kind == "by-patch":
        return split_by_patch(manifest, settings.shares, settings.seed)
    try:
        return split_by_case(manifest, settings.shares, settings.seed, settings.stratify)
    except PatchError:
        # With "auto" a single slide must still give patches, to predict on or to look at.
        if kind != "auto":
            raise
    n = len(case_groups(manifest)[1])
    notify(
        f"Not split: {n} case{'s' * (n != 1)} cannot be split by case. Add cases, or pass --split by-patch."
    )
    return manifest


#: {cause as counted in `Collected.dropped`: the way out}.
_CURES = {
    "image: no region": "Draw regions and set their class, or pass --whole-tissue.",
    "image: no label": "Add a column 'label' to cases.csv, or pass --keep-unlabelled.",
    "no label": "Set the regions' class to one that the task knows, add a column 'label' to cases.csv, or pass "
    "--keep-unlabelled.",
    "image: no pixel size": "Set it in QuPath (Image tab → Pixel width), or pass --pixel-size-um 0.25.",
    "image: pixels too coarse": "Pass a larger --um-px, or 0 to use images at their own scale.",
    "image: smaller than a patch": "Pass a smaller --size or --um-px.",
    "image: no truth": "Pull cells with nuclei (qupath-her2 pull --cells), annotate Membrane, Nucleus and Background, "
    "or put <image>_mask.png next to the image.",
    "image: smaller than a crop": "Set crop_px in [patches.segmentation] of her2.toml, 0 for whole images.",
    "too little known": "Annotate more, or lower least_known in [patches.segmentation] of her2.toml.",
    "bright": "Pass --drop none or --drop white-black.",
    "white": "Pass --drop none.",
    "black": "Pass --drop none.",
}


def no_patches_message(n_images: int, dropped: Mapping[str, int]) -> str:
    """Return the error message for a source without any usable patch.

    Parameters
    ----------
    n_images
        Number of images processed.
    dropped
        {cause: number of patches, regions or images}.

    Returns
    -------
    str
        The counts per cause, and the way out for the most frequent one.
    """
    counts = {cause: count for cause, count in sorted(dropped.items()) if count}
    listed = "; ".join(f"{cause}: {count}" for cause, count in counts.items()) or "no region"
    # One way out and not all: the most frequent cause is the one to fix first.
    most = max(counts, key=lambda cause: counts[cause], default="image: no region")
    cure = _CURES.get(most, "Check the regions and the settings.")
    return f"No patch came out of {n_images} image{'s' * (n_images != 1)}: {listed}. {cure}"
