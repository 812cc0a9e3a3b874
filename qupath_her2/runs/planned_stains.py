"""Stain vectors of a plan: those set in QuPath or in the settings, else those of the stain groups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from qupath_her2.errors import SettingsError
from qupath_her2.project.exchange.images import exchange_root
from qupath_her2.records import Refusal
from qupath_her2.runs.stain_groups import PooledStains, kept_stains, pooled_stains
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.stains.qupath_stains import chosen_stains, parse_qupath_stains
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from qupath_her2.config import Settings
    from qupath_her2.records import SlideRef
    from qupath_her2.runs.options import RunOptions
    from qupath_her2.runs.probe import Probe
    from qupath_her2.slides.stains.vectors import StainVectors

__all__ = ["Prober", "known_stains", "planned_stains", "with_known_type"]

#: Looks at images, given settings and whether tissue is scored where no tumour is drawn; {image: what was found}.
Prober: TypeAlias = "Callable[[Sequence[SlideRef], Settings, bool], Mapping[str, Probe]]"


def with_known_type(ref: SlideRef) -> SlideRef:
    """Return the image, with a refusal if QuPath's stains for it are not haematoxylin and DAB."""
    if ref.refusal is not None or ref.stains is None:
        return ref
    try:
        parse_qupath_stains(ref.stains)
    except SettingsError as error:
        return replace(ref, refusal=Refusal("not_ihc", f"image '{ref.name}' is not HER2 IHC: {error}"))
    return ref


def planned_stains(
    refs: Sequence[SlideRef],
    everything: Callable[[], list[SlideRef]],
    out: Path,
    options: RunOptions,
    settings: Settings,
    listen: Callable[[str], None] | None,
    probe: Prober | None,
) -> PooledStains:
    """Return the stain vectors of the images of a run: those that were set, else those of their groups.

    Parameters
    ----------
    refs
        The images of the run.
    everything
        Returns all images of the folder: a subset must get the same vectors.
    out
        The exchange folder.
    options, settings
        Of the run.
    listen
        Called with a line of text before a step that takes time.
    probe
        Looks at all images; None where nobody needs it.

    Returns
    -------
    PooledStains
        Empty where the method needs none.
    """
    method = options.method
    # A network that finds the tumour itself scores images without a drawn one.
    card = method.card()
    whole_tissue = options.whole_tissue or options.searches_tumour(settings) or options.region is not None
    whole_tissue = whole_tissue or (card is not None and card.task == "tumour")
    probes = {} if probe is None else probe(_as_scored(everything(), options), settings, whole_tissue)
    known = {
        ref.id: stains
        for ref in (refs if method.is_ihc_only else ())
        if (stains := known_stains(ref, settings)) is not None
    }
    if options.region is not None and method.pools_stains:
        known |= _kept_for_field([ref for ref in refs if ref.id not in known], out, options, settings)
    if not method.pools_stains or len(known) == len(refs):
        return PooledStains(known)
    # Estimated over the whole folder even if one image is run: a subset must get the same vectors.
    pooled = pooled_stains(
        _as_scored(everything(), options),
        out,
        settings,
        whole_tissue=whole_tissue,
        anew=options.force and not options.images,
        listen=listen,
        probes=probes,
    )
    return replace(pooled, stains=pooled.stains | known)


def _as_scored(refs: Sequence[SlideRef], options: RunOptions) -> list[SlideRef]:
    """Return the images that can be opened, with the pixel size that the user gave."""
    size = options.pixel_size_um
    return [ref if size is None else replace(ref, pixel_size_um=size) for ref in refs if ref.refusal is None]


def _kept_for_field(
    refs: Sequence[SlideRef], out: Path, options: RunOptions, settings: Settings
) -> dict[str, StainVectors]:
    """Return the vectors in use for images of which one region is scored, so that it counts as their score does."""
    found = {}
    for ref in _as_scored(refs, options):
        with open_image(ref) as slide:
            kept = kept_stains(ref, slide, exchange_root(out), settings)
        if kept is not None:
            found[ref.id] = kept
    return found


def known_stains(ref: SlideRef, settings: Settings) -> StainVectors | None:
    """Return the vectors set in QuPath for this very image, else those of the settings, else None."""
    # A refused image is never measured; any vectors keep it from triggering an estimate.
    if ref.refusal is not None:
        return QUPATH_H_DAB
    return chosen_stains(ref.stains) or settings.stain_vectors
