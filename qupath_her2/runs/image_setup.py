"""Set-up of an image before it is measured: tissue, regions and stains, or the refusal."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from qupath_her2.records import Refusal
from qupath_her2.regions import overlapping_tumour, shown_name
from qupath_her2.runs.deleted_proposals import deleted_warning
from qupath_her2.runs.finder_choice import finder_note
from qupath_her2.runs.proposed_tumour import NOBODY_CONFIRMED
from qupath_her2.runs.refused_image import refused_image
from qupath_her2.runs.stain_choice import choose_stains
from qupath_her2.runs.types import ImageContext, ImageSetup
from qupath_her2.runs.unscored_regions import core_warnings
from qupath_her2.runs.whole_tissue import NO_ONE_CHOSE, whole_tissue_region
from qupath_her2.slides.readers.objective import objective_hint
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from qupath_her2.slides.tissue import find_tissue

if TYPE_CHECKING:
    from qupath_her2.project.geojson.regions import RegionFile
    from qupath_her2.records import QuarantinedFeature
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.runs.types import FinishedImage, Inputs
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.tissue import Tissue

__all__ = ["set_up_image", "unopened_image"]

#: Sides of a pixel that differ by less are equal: scanners round them.
_SQUARE_SHARE = 0.01
#: Pen marks that cover less of an image cannot be its only tissue.
_NOTABLE_INK_SHARE = 0.02
#: Reasons listed as warnings; a damaged file may have one for each feature.
_MAX_REASONS = 5


def set_up_image(job: ScoreJob, slide: Slide, inputs: Inputs, *, tissue: Tissue | None = None) -> ImageSetup:
    """Find the tissue, choose stains and regions, and refuse what cannot be measured.

    Parameters
    ----------
    job
        The image with its options and settings.
    slide
        The open image.
    inputs
        From `gather_inputs`.
    tissue
        Of the image, where it is known from before; searched for where None.

    Returns
    -------
    ImageSetup
        With a refusal in its context where the image is not assessable.
    """
    if tissue is None:
        tissue = find_tissue(slide, pixel_size_um=inputs.pixel_size_um, settings=job.settings.tissue)
    stains = choose_stains(job, slide, tissue, inputs.pixel_size_um)
    context = ImageContext(
        inputs.regions,
        stains.vectors,
        inputs.pixel_size_um,
        inputs.by_core,
        stain_origin=stains.origin,
        profile=job.profile,
    ).refused(_refusal(job, inputs))
    if stains.warning and context.refusal is None:
        context = context.warned(stains.warning)
    if inputs.find_tumour:
        context = context.warned(NOBODY_CONFIRMED, *finder_note(job.settings))
    elif inputs.whole_tissue:
        context = context.warned(NO_ONE_CHOSE)
    if inputs.whole_tissue:
        whole = whole_tissue_region(tissue, inputs.hash)
        if whole is None:
            context = context.refused(_no_tissue(tissue))
        else:
            # Other regions stay, so that ignored and in-situ areas are still subtracted from the tissue.
            context = replace(context, regions=(whole, *inputs.regions))
    if job.searches_tumour:
        context = replace(context, tumour_origin="proposed" if inputs.find_tumour else "drawn")
    context = context.warned(
        *deleted_warning(inputs.deleted),
        *slide.notes,
        *_scale_note(job, inputs),
        *_anisotropy_warning(slide),
        *_overlap_warning(inputs),
        *_selection_warning(inputs),
    )
    # Said on every way out, refusals included: what was set aside may be the very region that is missing.
    context = context.warned(*_file_warnings(inputs.region_file), *core_warnings(inputs))
    return ImageSetup(job.ref, job.settings, slide, inputs, tissue, context, stains.alternatives)


def _no_tissue(tissue: Tissue) -> Refusal:
    """Return the refusal of glass without tissue; it says so where something was taken for pen marks."""
    if tissue.ink_share < _NOTABLE_INK_SHARE:
        return Refusal("no_tissue", "no tissue was found on the glass")
    return Refusal(
        "no_tissue",
        f"no tissue was found on the glass: {tissue.ink_share:.0%} of the image has the colour of pen marks. "
        "If that is tissue, draw a region around it and set its class to Tumor",
    )


def _scale_note(job: ScoreJob, inputs: Inputs) -> list[str]:
    """Return a note where QuPath shows no pixel size and the file's was used: lengths there stay in pixels."""
    if job.ref.entry_id is None or inputs.pixel_size_source != "file":
        return []
    return [
        f"QuPath shows no pixel size for this image, so that of its file was used: {inputs.pixel_size_um:g} µm. Enter "
        "it in QuPath too (Image tab, double-click Pixel width; click beside all annotations first)."
    ]


def _anisotropy_warning(slide: Slide) -> list[str]:
    """Return a warning where pixels are not square: one number stands for both sides in all measurements."""
    x, y = slide.pixel_size_x_um, slide.pixel_size_y_um
    if x is None or y is None or abs(x - y) <= _SQUARE_SHARE * max(x, y):
        return []
    mean = (x + y) / 2
    return [
        f"Pixels are not square ({x:g} x {y:g} µm); lengths are measured with their mean, {mean:g} µm, and are off by "
        f"up to {max(x, y) / mean - 1:.0%}. Resample the image to square pixels."
    ]


def _selection_warning(inputs: Inputs) -> list[str]:
    """Return a sentence where only a part of the region that was asked for is scored."""
    selected = inputs.region_file.selected
    scored = [region for region in inputs.regions if selected is not None and region.uuid == selected.uuid]
    if selected is None or not scored or scored[0].geometry.area >= selected.geometry.area:
        return []
    return ["Of the selection, the part that is drawn as tumour was scored."]


def _overlap_warning(inputs: Inputs) -> list[str]:
    """Return a warning where tumour regions overlap: their cells add up to more than those of the image."""
    pairs = overlapping_tumour(inputs.regions)
    if not pairs:
        return []
    names = {
        region.uuid: shown_name(region.name, region.class_name, number)
        for number, region in enumerate((r for r in inputs.regions if r.role == "tumour"), start=1)
    }
    owner, other = (names[region.uuid] for region in pairs[0])
    more = f", and {len(pairs) - 1} more pairs" if len(pairs) > 1 else ""
    return [
        f"Tumor regions overlap ({owner} and {other}{more}). A cell in both counts in each region's score, as in "
        "QuPath, and once in the image's."
    ]


def _file_warnings(found: RegionFile) -> list[str]:
    """Return warnings on annotations set aside or repaired; ``run.json`` and `qupath-her2 regions` list them all."""
    by_reason: dict[str, list[QuarantinedFeature]] = {}
    for feature in found.quarantined:
        by_reason.setdefault(feature.reason, []).append(feature)
    # A line for each reason: of hundreds of annotations without a class, none may hide the one that is damaged.
    warnings = [
        f"{len(features)} feature{'s' if len(features) > 1 else ''} of the region file set aside, "
        f"the first: feature {features[0].index} ({features[0].id or 'no id'}) {reason}."
        for reason, features in list(by_reason.items())[:_MAX_REASONS]
    ]
    left = sum(map(len, list(by_reason.values())[_MAX_REASONS:]))
    if left:
        warnings.append(
            f"{left} more features were set aside for other reasons; `qupath-her2 regions` lists them."
        )
    if found.repairs:
        more = f" And {len(found.repairs) - 1} more." if len(found.repairs) > 1 else ""
        warnings.append(f"Repaired: {found.repairs[0]}{more}")
    return warnings


def _refusal(job: ScoreJob, inputs: Inputs) -> Refusal | None:
    """Return the refusal that follows from the inputs alone, before a pixel is measured."""
    size, card = inputs.pixel_size_um, inputs.card
    # A network that classifies whole images scaled down needs no pixel size.
    if size is None and (card is None or not math.isnan(card.pixel_size_um)):
        return Refusal(
            "pixel_size_missing",
            f"image '{job.name}' has no pixel size. Set it in QuPath (Image tab → Pixel width) "
            f"or pass --pixel-size-um 0.25{objective_hint(job.ref.path)}",
        )
    # Never a silent fall-back to all tissue: its score would look like that of a tumour.
    if not inputs.whole_tissue and not any(region.role == "tumour" for region in inputs.regions):
        if inputs.empty_cores:
            return Refusal(
                "no_tumour_region",
                "no tumour region lies in any TMA core: redraw them in QuPath, or delete all tumour regions to score "
                "whole cores",
            )
        return _no_tumour_region(inputs, job.method.tumour_search == "on request")
    return job.method.scale_refusal(job.name, size, card)


def _no_tumour_region(inputs: Inputs, can_search: bool) -> Refusal:
    """Return the refusal of an image without tumour regions; it says what was drawn instead."""
    flags = (
        "pass --find-tumour to search for it, or pass --whole-tissue"
        if can_search
        else "or pass --whole-tissue"
    )
    found = inputs.region_file
    n_proposed, without = len(found.proposals), _without_class(found)
    if n_proposed:
        more = f", and {without}" if without else ""
        are = (
            "annotation of class Tumor? is a proposal"
            if n_proposed == 1
            else "annotations are proposals (Tumor?)"
        )
        return Refusal(
            "no_tumour_region",
            f"no tumour region: {n_proposed:,} {are} that nobody has accepted{more}. Accept those "
            f"that are invasive tumour: set their class to Tumor in QuPath, {flags}",
        )
    if without:
        return Refusal(
            "no_tumour_region",
            f"no tumour region: {without}. Set the class of those that hold tumour to Tumor, score annotations "
            f"without a class as tumour with unclassified_is_tumour = true under [regions] in her2.toml, {flags}",
        )
    others = sorted({region.class_name for region in found.regions if region.class_name})
    drawn = f" (drawn: {', '.join(others[:_MAX_REASONS])})" if others else ""
    return Refusal(
        "no_tumour_region", f"no tumour region{drawn}: draw one and set its class to Tumor, {flags}"
    )


def _without_class(found: RegionFile) -> str:
    """Return how many annotations have no class, in words; "" where all have one."""
    n = found.n_unclassified
    return "" if n == 0 else f"{n:,} annotation{'s have' if n > 1 else ' has'} no class"


def unopened_image(job: ScoreJob) -> FinishedImage:
    """Return the result of an image that could not be exported from QuPath; none of its pixels are read."""
    context = ImageContext((), QUPATH_H_DAB, refusal=job.ref.refusal)
    return refused_image(context, job.ref.case, job.settings.scoring)
