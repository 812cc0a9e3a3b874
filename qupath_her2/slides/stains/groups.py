"""Stain groups: images whose own stain vectors agree share one robust pair of vectors.

An estimate per image is worse than none: in an unstained image it takes grey for DAB (false 1+ in up to 4.5 % of cells,
against 0 to 0.3 % with vectors of a group). One estimate over the pooled pixels of a folder is no better where one
picture is odd: percentiles of pooled pixels belong to the picture whose colours reach furthest, and a single picture of
another laboratory moved every score. So each image gives its own directions, with one vote; images that lie far from
the others form a group of their own; and the vectors of a group are the medians of its members' directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from qupath_her2.slides.stains.estimate import (
    StainDirections,
    StainEstimateSettings,
    accepted_vectors,
    angle_deg,
)
from qupath_her2.slides.stains.vectors import StainVectors, Vector, unit_vector

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["StainGroup", "deviation_deg", "group_images"]

#: Share of brown pixels from which an image's DAB has full weight. Thin DAB is yellower than thick DAB, so that the
#: vector of a weakly stained image is less certain; above this, more DAB makes no image count more than another.
_FULL_DAB_SHARE = 0.2
#: Medians settle in two rounds: the second takes in members that only the first median brought into reach.
_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class StainGroup:
    """Images that share their stain vectors.

    Attributes
    ----------
    members
        Names of the images, sorted.
    vectors
        Their common vectors; QuPath's defaults where none of the members shows enough DAB.
    """

    members: tuple[str, ...]
    vectors: StainVectors


def group_images(
    own: Mapping[str, StainDirections], settings: StainEstimateSettings | None = None
) -> list[StainGroup]:
    """Group images by their own stain directions.

    Parameters
    ----------
    own
        {name: directions found in that image alone}.
    settings
        Acceptance limits; `max_member_deviation_deg` is the reach of a group.

    Returns
    -------
    list[StainGroup]
        The largest group first; images without stained pixels belong to it. Every image is in exactly one group.
    """
    s = settings or StainEstimateSettings()
    blank = {name for name, found in own.items() if found.hematoxylin is None}
    left = sorted(set(own) - blank)
    groups = []
    while left:
        members = _largest(own, left, s.max_member_deviation_deg)
        left = [name for name in left if name not in members]
        groups.append(members)
    # Stable, so that of equally large groups the one that was found first, by name, stays first.
    groups.sort(key=len, reverse=True)
    if blank:
        groups = [(groups[0] if groups else set()) | blank, *groups[1:]]
    return [StainGroup(tuple(sorted(members)), _vectors(own, members, s)) for members in groups]


def deviation_deg(one: StainDirections | StainVectors, other: StainDirections | StainVectors) -> float:
    """Return how far two pairs of stain directions lie apart: the larger of both angles, degrees.

    Parameters
    ----------
    one, other
        Directions found in an image, or stain vectors.

    Returns
    -------
    float
        Haematoxylin alone where one of both has no DAB; 0 where nothing can be compared.
    """
    pairs = ((one.hematoxylin, other.hematoxylin), (one.dab, other.dab))
    return max((angle_deg(left, right) for left, right in pairs if left and right), default=0.0)


def _largest(own: Mapping[str, StainDirections], names: Collection[str], reach_deg: float) -> set[str]:
    """Return the largest set of images around one of them, then around the median of that set."""

    def _near(centre: StainDirections) -> set[str]:
        return {name for name in names if deviation_deg(own[name], centre) <= reach_deg}

    # An image with DAB before one without: only haematoxylin is compared with the latter, which reaches further.
    seeds = sorted(names, key=lambda name: own[name].dab is None)
    seed = max(seeds, key=lambda name: len(_near(own[name])))
    members = _near(own[seed])
    for _ in range(_ROUNDS):
        # The seed stays, so that a group is never empty however its median moves.
        members = _near(_median(own, members)) | {seed}
    return members


def _median(own: Mapping[str, StainDirections], members: Collection[str]) -> StainDirections:
    """Return the weighted median directions of images: each has one vote for haematoxylin, and one for its DAB."""
    found = [own[name] for name in sorted(members) if own[name].hematoxylin is not None]
    with_dab = [directions for directions in found if directions.dab is not None]
    if not found:
        return StainDirections(None, None, 0.0, sum(own[name].n_pixels for name in members))
    hematoxylin = _weighted_median([cast(Vector, f.hematoxylin) for f in found], np.ones(len(found)))
    weights = np.array([min(f.dab_share, _FULL_DAB_SHARE) for f in with_dab])
    dab = _weighted_median([cast(Vector, f.dab) for f in with_dab], weights) if with_dab else None
    shares = max(directions.dab_share for directions in found)
    return StainDirections(hematoxylin, dab, shares, sum(directions.n_pixels for directions in found))


def _weighted_median(vectors: list[Vector], weights: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Vector:
    """Return the component-wise weighted median of unit vectors, as a unit vector."""
    components = []
    for values in np.asarray(vectors).T:
        order = np.argsort(values, kind="stable")
        reached = np.cumsum(weights[order]) / weights.sum()
        # The mean of both middle values where the weights split evenly, as an unweighted median has it.
        low = values[order][np.searchsorted(reached, 0.5 - 1e-9)]
        high = values[order][min(np.searchsorted(reached, 0.5 + 1e-9), len(values) - 1)]
        components.append(float(low + high) / 2)
    return unit_vector(tuple(components), "median")


def _vectors(
    own: Mapping[str, StainDirections], members: Collection[str], settings: StainEstimateSettings
) -> StainVectors:
    found = _median(own, members)
    n_dab = sum(own[name].dab is not None for name in members)
    n_dab_text = "" if n_dab == len(members) else f", DAB from {n_dab}"
    source = f"estimated from {len(members)} image{'s' if len(members) > 1 else ''}{n_dab_text}"
    return accepted_vectors(found, settings=settings, source=source)
