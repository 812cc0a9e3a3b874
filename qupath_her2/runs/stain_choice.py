"""Stain vectors of one image: those of its group, its own where it does not belong there, or those that were set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from qupath_her2.slides.stains.density_sample import sample_tissue
from qupath_her2.slides.stains.estimate import accepted_vectors, stain_directions
from qupath_her2.slides.stains.groups import deviation_deg
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors

if TYPE_CHECKING:
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.tissue import Tissue

__all__ = ["StainChoice", "choose_stains"]

#: Vectors that lie closer to those in use than this are no alternative, degrees: estimates of two halves of one image
#: differ by as much.
_SAME_WITHIN_DEG = 2.0
_SET_BY = {"QuPath": "set in QuPath", "user": "set in her2.toml"}


@dataclass(frozen=True, slots=True)
class StainChoice:
    """Stain vectors of an image.

    Attributes
    ----------
    vectors
        In use, with the glass colour of the image.
    origin
        Sentence part for the score: where they come from, and how far the image's own lie.
    alternatives
        {name: vectors}, other plausible ones, to test the score's stability.
    warning
        Why the image left its group; "" where it did not.
    """

    vectors: StainVectors
    origin: str = ""
    alternatives: dict[str, StainVectors] = field(default_factory=dict)
    warning: str = ""


def choose_stains(job: ScoreJob, slide: Slide, tissue: Tissue, pixel_size_um: float | None) -> StainChoice:
    """Choose the stain vectors of an image.

    Parameters
    ----------
    job
        With the vectors of its group, or those that were set.
    slide
        The open image.
    tissue
        Its tissue mask and glass colour.
    pixel_size_um
        µm per level-0 pixel; None where unknown.

    Returns
    -------
    StainChoice
        The image's own vectors where these lie further from its group's than `max_member_deviation_deg`.
    """
    shared = job.stains or QUPATH_H_DAB
    if not job.method.pools_stains:
        return StainChoice(_on_glass(shared, tissue))
    settings = job.settings.stains
    own = job.own_stains or stain_directions(sample_tissue(slide, tissue, pixel_size_um), settings)
    own_vectors = accepted_vectors(own, settings=settings, source="estimated from this image alone")
    used, warning = shared, ""
    away = deviation_deg(own, shared)
    is_estimate = shared.source not in _SET_BY and not _is_default(shared)
    if is_estimate and away > settings.max_member_deviation_deg:
        used = own_vectors
        instead = used.source if _is_default(used) else "its own"
        warning = (
            f"The stain vectors of this image lie {away:.0f}° from those of its group (limit "
            f"{settings.max_member_deviation_deg:g}°): it left the group and is scored with {instead}."
        )
    candidates = {
        "the image's own": own_vectors,
        "those of its group": shared,
        "QuPath's defaults": QUPATH_H_DAB,
    }
    alternatives = {
        name: _on_glass(vectors, tissue)
        for name, vectors in candidates.items()
        # QuPath's defaults in the place of an estimate that failed are offered once, by their own name.
        if (name == "QuPath's defaults" or not _is_default(vectors))
        and deviation_deg(vectors, used) > _SAME_WITHIN_DEG
    }
    origin = f"stain vectors: {_SET_BY.get(used.source, used.source)}"
    if used is shared and own.hematoxylin is not None:
        origin += f"; this image's own lie {away:.0f}° away" + (
            "" if own.dab is not None else " (haematoxylin alone)"
        )
    return StainChoice(_on_glass(used, tissue), origin, alternatives, warning)


def _is_default(vectors: StainVectors) -> bool:
    return vectors.source.startswith(QUPATH_H_DAB.source)


def _on_glass(stains: StainVectors, tissue: Tissue) -> StainVectors:
    """Return vectors with the glass colour of the image, unless QuPath or the user set both."""
    # Vectors are shared by a stain group, but lamp and exposure differ from slide to slide.
    if stains.source in _SET_BY:
        return stains
    return replace(stains, background_rgb=tissue.background_rgb)
