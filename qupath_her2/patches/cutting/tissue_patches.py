"""All patches of the tissue of images, annotated or not: what is counted over a whole slide."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from qupath_her2.patches.cutting.grid import patch_scale
from qupath_her2.patches.cutting.image_patches import ImagePatches, cut_labelled_regions, drop_patches
from qupath_her2.patches.cutting.labels import LabelRule, label_regions
from qupath_her2.patches.table import ManifestImage, PatchManifest
from qupath_her2.records import Region
from qupath_her2.slides.readers.view import open_view
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons

if TYPE_CHECKING:
    from collections.abc import Callable

    from qupath_her2.patches.settings import PatchSettings
    from qupath_her2.slides.tissue import Tissue, TissueSettings

__all__ = ["tissue_patches"]


def tissue_patches(
    manifest: PatchManifest,
    settings: PatchSettings,
    tissue: TissueSettings | None = None,
    find: Callable[..., Tissue] = find_tissue,
) -> PatchManifest:
    """Lay a grid of patches over all tissue of the images of a manifest, at its scale and by its drop rules.

    Parameters
    ----------
    manifest
        Patches of the images; each image lies in one part of the split as a whole.
    settings
        How its patches were cut.
    tissue
        Settings of tissue detection.
    find
        The detection, called as `slides.tissue.find_tissue`.

    Returns
    -------
    PatchManifest
        Unlabelled patches of the same images, in their order and with the split of each; an image without tissue, or
        smaller than a patch, has none.

    Raises
    ------
    ImageReadError
        An image cannot be read.
    """
    rule = LabelRule("majority")
    whole = replace(settings, rule=rule, random_per_image=0, keep_unlabelled=True)
    cuts = [_cut(image, whole, tissue, find) for image in manifest.images]
    counts = [len(cut) for cut in cuts]
    splits = [_split_of(manifest, index) for index in range(len(cuts))]
    dropped = sum((cut.dropped for cut in cuts), Counter[str]())
    return replace(
        manifest,
        image=np.repeat(np.arange(len(cuts), dtype=np.int32), counts),
        box_xywh=np.concatenate([cut.box_xywh for cut in cuts]),
        label=np.full(sum(counts), -1, np.int16),
        overlap=np.concatenate([cut.overlap for cut in cuts]),
        region_uuid=np.concatenate([cut.region_uuid for cut in cuts]),
        split=np.repeat(np.array(splits, np.int8), counts),
        dropped={cause: count for cause, count in sorted(dropped.items()) if count},
    )


def _split_of(manifest: PatchManifest, image: int) -> int:
    own = manifest.split[manifest.image == image]
    return int(own.max()) if len(own) else -1


def _cut(
    image: ManifestImage, settings: PatchSettings, tissue: TissueSettings | None, find: Callable[..., Tissue]
) -> ImagePatches:
    with open_view(image.path, image.chain, width=image.width, height=image.height) as slide:
        size_um = None if math.isnan(image.pixel_size_um) else image.pixel_size_um
        scale = patch_scale(image.pixel_size_um, settings.grid, image.name)
        outlines = tissue_polygons(find(slide, pixel_size_um=size_um, settings=tissue))
    # Tissue that was detected and not drawn has no annotation to refer to.
    pieces = [Region(UUID(int=0), outline, "other") for outline in outlines]
    labelled = label_regions(pieces, [-1] * len(pieces))
    cut = cut_labelled_regions(image.width, image.height, labelled, scale, settings, image.id)
    return drop_patches(cut, image, None, settings)
