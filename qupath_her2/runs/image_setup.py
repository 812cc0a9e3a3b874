"""Setting an image up: its tissue, regions and stains, or why it is not assessable."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from qupath_her2.records import Refusal
from qupath_her2.runs.refused_image import refused_image
from qupath_her2.runs.types import ImageContext, ImageSetup
from qupath_her2.runs.whole_tissue import NO_ONE_CHOSE, whole_tissue_region
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from qupath_her2.slides.tissue import find_tissue

if TYPE_CHECKING:
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.runs.types import FinishedImage, Inputs
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.stains.vectors import StainVectors
    from qupath_her2.slides.tissue import Tissue

__all__ = ["set_up_image", "unopened_image"]


def set_up_image(job: ScoreJob, slide: Slide, inputs: Inputs) -> ImageSetup:
    """Find the tissue, choose stains and regions, and refuse what cannot be measured.

    Parameters
    ----------
    job, slide
        The image.
    inputs
        From `gather_inputs`.

    Returns
    -------
    ImageSetup
        With a refusal in its context where the image is not assessable.
    """
    tissue = find_tissue(slide, pixel_size_um=inputs.pixel_size_um, settings=job.settings.tissue)
    context = ImageContext(
        inputs.regions, _stains(job, tissue), inputs.pixel_size_um, inputs.by_core
    ).refused(_refusal(job, inputs))
    if inputs.whole_tissue:
        context = context.warned(NO_ONE_CHOSE)
        whole = whole_tissue_region(tissue, inputs.hash)
        if whole is None:
            context = context.refused(Refusal("no_tissue", "no tissue was found on the glass"))
        else:
            context = replace(context, regions=(whole, *inputs.regions))
    return ImageSetup(job.ref, job.settings, slide, inputs, tissue, context)


def _refusal(job: ScoreJob, inputs: Inputs) -> Refusal | None:
    """Return why the image cannot be measured, as far as its inputs tell."""
    size, card = inputs.pixel_size_um, inputs.card
    # A network that classifies whole images scaled down needs no pixel size.
    if size is None and (card is None or not math.isnan(card.pixel_size_um)):
        return Refusal(
            "pixel_size_missing",
            f"image '{job.name}' has no pixel size. Set it in QuPath (Image tab → Pixel width) "
            "or pass --pixel-size-um 0.25",
        )
    if not inputs.whole_tissue and not any(region.role == "tumour" for region in inputs.regions):
        return Refusal(
            "no_tumour_region",
            "no tumour region: draw one and set its class to Tumor, or pass --whole-tissue",
        )
    return job.method.scale_refusal(job.name, size, card)


def _stains(job: ScoreJob, tissue: Tissue) -> StainVectors:
    """Return the job's vectors with this image's own glass colour, unless QuPath or the user set that too."""
    stains = job.stains or QUPATH_H_DAB
    if stains.source in ("QuPath", "user"):
        return stains
    return replace(stains, background_rgb=tissue.background_rgb)


def unopened_image(job: ScoreJob) -> FinishedImage:
    """Return the result of an image that QuPath could not hand over; none of its pixels were read."""
    context = ImageContext((), QUPATH_H_DAB, refusal=job.ref.refusal)
    return refused_image(context, job.ref.case, job.settings.scoring)
