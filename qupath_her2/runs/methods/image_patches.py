"""Patch grid of one image for a prediction."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.patches.cutting.grid import patch_scale
from qupath_her2.patches.cutting.image_patches import (
    ImagePatches,
    cut_labelled_regions,
    drop_patches,
    whole_image_patch,
)
from qupath_her2.patches.cutting.labels import LabelRule, label_regions
from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.patches.settings import PatchSettings, settings_of_manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.models.card import ModelCard
    from qupath_her2.runs.types import ImageSetup

__all__ = ["image_manifest", "prediction_settings"]


def image_manifest(setup: ImageSetup, card: ModelCard) -> tuple[PatchManifest, NDArray[np.int32]]:
    """Lay a grid of patches over the tumour regions of an image, cut as in the network's training.

    Parameters
    ----------
    setup
        The image.
    card
        Patch size and pixel size of the network.

    Returns
    -------
    tuple[PatchManifest, NDArray[np.int32]]
        The patches that pass the drop rules, and the tumour region of each, int32 (N,), counted in the order of the
        image's regions.

    Raises
    ------
    PatchError
        The image's pixels are coarser than the network's; the message gives the way out.
    """
    ref, slide, inputs, regions = setup.ref, setup.slide, setup.inputs, setup.context.regions
    tumour = [region for region in regions if region.role == "tumour"]
    settings = prediction_settings(setup.settings.patches, card)
    image = ManifestImage(
        ref.id,
        ref.name,
        ref.path,
        ref.case.case,
        math.nan if inputs.pixel_size_um is None else inputs.pixel_size_um,
        slide.width,
        slide.height,
        ref.chain,
        inputs.fingerprint,
    )
    cut = _cut(setup, settings)
    # Bright, white and black patches are dropped as in training; a whole image is predicted whatever it shows.
    if not settings.whole_image:
        cut = drop_patches(cut, image, None, settings)
    number = {region.uuid.bytes: index for index, region in enumerate(tumour)}
    # The one patch of a whole image belongs to no region; it is listed under the first.
    owner = [number.get(uuid.tobytes(), 0) for uuid in cut.region_uuid]
    return _manifest(cut, image, card, settings), np.array(owner, np.int32)


def prediction_settings(settings: PatchSettings, card: ModelCard) -> PatchSettings:
    """Return the patch settings of a prediction: those of the training, but without labels or random subsets."""
    # A network trained on whole images scaled down has no pixel size: its patches are cut at level 0.
    target = 0.0 if math.isnan(card.pixel_size_um) else card.pixel_size_um
    # An overlap of 5 % may label a patch of a partial annotation in training. To predict such a patch would judge
    # tissue that nobody chose, so here most of the patch must lie in the region.
    rule = LabelRule("majority") if settings.rule.rule == "overlap" else settings.rule
    grid = replace(settings.grid, patch_size_px=card.patch_size_px, target_um_px=target)
    return replace(settings, grid=grid, rule=rule, random_per_image=0)


def _cut(setup: ImageSetup, settings: PatchSettings) -> ImagePatches:
    width, height = setup.slide.width, setup.slide.height
    if settings.whole_image:
        return whole_image_patch(width, height, None)
    scale = patch_scale(setup.inputs.pixel_size_um, settings.grid, setup.ref.name)
    regions = [region for region in setup.context.regions if region.role != "other"]
    labelled = label_regions(regions, [0 if region.role == "tumour" else None for region in regions])
    return cut_labelled_regions(width, height, labelled, scale, settings, setup.ref.id)


def _manifest(
    cut: ImagePatches, image: ManifestImage, card: ModelCard, settings: PatchSettings
) -> PatchManifest:
    n = len(cut)
    return PatchManifest(
        image=np.zeros(n, np.int32),
        box_xywh=cut.box_xywh,
        label=np.full(n, -1, np.int16),
        overlap=cut.overlap,
        region_uuid=cut.region_uuid,
        split=np.full(n, -1, np.int8),
        images=(image,),
        class_names=card.class_names,
        patch_size_px=card.patch_size_px,
        pixel_size_um=card.pixel_size_um,
        task=card.task,
        settings=settings_of_manifest(settings, "project"),
        dropped={cause: count for cause, count in sorted(cut.dropped.items()) if count},
    )
