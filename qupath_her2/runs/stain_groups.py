"""Stain groups of a folder: which images share their stain vectors, kept in ``stains.json``.

Only images that are scored take part: those with a tumour region, or all with ``--whole-tissue``. Each is sampled once;
its own stain directions are kept with the fingerprint of its file, so that a folder that grows is not sampled again.
Images of one kind (file type, pixel size, stain) are then grouped by their own directions (`slides.stains.groups`).

Vectors in use are **kept** while that is safe, since they are part of every result's input hash and new ones mean
scoring all images of the group again: they stay where images that are added would move them by at most 1°. They are
estimated again when an image they came from is gone or changed, when additions move them further, by ``--force`` over
the whole folder, and when the settings of the estimate change; a note says which.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qupath_her2.errors import Her2Error, ImageReadError
from qupath_her2.provenance import canonical_json, image_fingerprint
from qupath_her2.runs.inputs import tumour_is_drawn
from qupath_her2.runs.probe import stain_kind
from qupath_her2.runs.stains_file import (
    STAINS_FILE,
    KeptGroup,
    StainsFile,
    read_stains_file,
    write_stains_file,
)
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.stains.density_sample import sample_tissue
from qupath_her2.slides.stains.estimate import StainDirections, stain_directions
from qupath_her2.slides.stains.groups import StainGroup, deviation_deg, group_images
from qupath_her2.slides.stains.qupath_stains import chosen_stains
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors
from qupath_her2.slides.tissue import find_tissue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from qupath_her2.config import Settings
    from qupath_her2.records import SlideRef
    from qupath_her2.runs.probe import Probe
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["PooledStains", "kept_stains", "pooled_stains"]

#: Images sampled per kind at most: medians of more directions do not move.
_MAX_IMAGES = 40
#: Additions that move no vector further than this keep the vectors in use, degrees; 1° moves class shares of drawn
#: fields by less than a percentage point.
_KEPT_WITHIN_DEG = 1.0


@dataclass(frozen=True, slots=True)
class PooledStains:
    """Stain vectors of the images of a folder.

    Attributes
    ----------
    stains
        {image id: vectors of its group}.
    own
        {image id: directions found in that image alone}, of the images that were sampled.
    notes
        Sentences for the user.
    """

    stains: dict[str, StainVectors]
    own: dict[str, StainDirections] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kind:
    """Images of one kind: all of them, those that are scored, and the fingerprints of the latter."""

    name: str
    members: list[SlideRef] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)

    def named(self, images: Collection[str]) -> str:
        """Return the names of up to three images, and how many more there are."""
        # An image that is gone has its folder name left, which holds its name.
        names = {ref.id: ref.name for ref in self.members}
        some = ", ".join(f"'{names.get(image, image)}'" for image in sorted(images)[:3])
        return some + (f" and {len(images) - 3} more" if len(images) > 3 else "")


def pooled_stains(
    refs: Sequence[SlideRef],
    out: Path,
    settings: Settings,
    *,
    whole_tissue: bool = False,
    anew: bool = False,
    listen: Callable[[str], None] | None = None,
    probes: Mapping[str, Probe] | None = None,
) -> PooledStains:
    """Return the stain vectors of each image's group; what is not in ``stains.json`` yet is estimated.

    Parameters
    ----------
    refs
        All images of the project, also where only some are run: the vectors must not depend on that choice.
    out
        The exchange folder; its ``stains.json`` is read and, where anything changed, replaced.
    settings
        Settings of the estimate, of the tissue search and of the region classes.
    whole_tissue
        Images without a tumour region are scored too.
    anew
        Ignore the stored vectors.
    listen
        Called with a line of text before images are sampled.
    probes
        {image: what a look at it found}, so that it is not opened for that again.

    Returns
    -------
    PooledStains
        Vectors of every image that can be opened.

    Raises
    ------
    ExchangeError
        ``stains.json`` is damaged.
    """
    kinds = _kinds(refs, settings, whole_tissue, probes or {})
    recipe = _recipe(settings)
    stored = StainsFile(recipe) if anew else read_stains_file(out / STAINS_FILE, recipe)
    own = _own_directions(kinds, stored, settings, listen)
    notes: list[str] = []
    groups: dict[str, list[KeptGroup]] = {}
    for kind in kinds:
        estimated = _kept_groups(kind, own, settings)
        groups[kind.name], said = _kept_or_new(kind, stored.groups.get(kind.name), estimated, own)
        notes += said + _group_notes(kind, groups[kind.name], own)
    fresh = StainsFile(recipe, groups, {name: (_fingerprint(kinds, name), own[name]) for name in sorted(own)})
    if fresh != stored:
        write_stains_file(out / STAINS_FILE, fresh)
    # Made once for each group: vectors are checked when they are made.
    made = {id(group): group.vectors for of_kind in groups.values() for group in of_kind}
    vectors = {
        ref.id: made[id(_group_of(ref.id, groups[kind.name]))] for kind in kinds for ref in kind.members
    }
    return PooledStains(vectors, own, tuple(notes))


def kept_stains(ref: SlideRef, slide: Slide, out: Path, settings: Settings) -> StainVectors | None:
    """Return the vectors in use in the stain group of an image; nothing is estimated.

    Parameters
    ----------
    ref, slide
        The image, with the pixel size in use, and its open slide.
    out
        The exchange folder.
    settings
        Settings of the estimate and of the tissue search: vectors of other ones are not in use.

    Returns
    -------
    StainVectors or None
        None where no image of its kind was scored yet.

    Raises
    ------
    ExchangeError
        ``stains.json`` is damaged.
    """
    groups = read_stains_file(out / STAINS_FILE, _recipe(settings)).groups.get(stain_kind(ref, slide))
    return _group_of(ref.id, groups).vectors if groups else None


def _recipe(settings: Settings) -> str:
    """Return the settings that the vectors depend on, as text."""
    return canonical_json({"estimate": settings.stains, "tissue": settings.tissue}).decode()


def _fingerprint(kinds: Sequence[_Kind], image: str) -> str:
    """Return the fingerprint of a sampled image."""
    return next(kind.fingerprints[image] for kind in kinds if image in kind.fingerprints)


def _kinds(
    refs: Sequence[SlideRef], settings: Settings, whole_tissue: bool, probes: Mapping[str, Probe]
) -> list[_Kind]:
    """Sort images by their kind; those that cannot be opened are left to their jobs, which report them."""
    kinds: dict[str, _Kind] = {}
    for ref in refs:
        # Vectors set in QuPath apply to that image and are never pooled.
        if chosen_stains(ref.stains) is not None:
            continue
        look = (
            _known(probes[ref.id], whole_tissue) if ref.id in probes else _look(ref, settings, whole_tissue)
        )
        if look is None:
            continue
        name, fingerprint = look
        kind = kinds.setdefault(name, _Kind(name))
        kind.members.append(ref)
        if fingerprint:
            kind.fingerprints[ref.id] = fingerprint
    return [kinds[name] for name in sorted(kinds)]


def _known(probe: Probe, whole_tissue: bool) -> tuple[str, str] | None:
    """Return the kind of an image that was looked at, and its fingerprint if it is scored, see `_look`."""
    if probe.problem:
        return None
    is_scored = probe.pixel_size_um is not None and (whole_tissue or probe.has_tumour)
    return probe.kind, probe.fingerprint if is_scored else ""


def _look(ref: SlideRef, settings: Settings, whole_tissue: bool) -> tuple[str, str] | None:
    """Return the kind of an image, and its fingerprint if it is scored, else ""; None where it cannot be opened."""
    try:
        with open_image(ref) as slide:
            # Without a pixel size an image is refused, and gives no vectors either.
            has_size = (ref.pixel_size_um or slide.pixel_size_um) is not None
            is_scored = has_size and (whole_tissue or tumour_is_drawn(ref, slide, settings))
            return stain_kind(ref, slide), image_fingerprint(ref.path) if is_scored else ""
    except Her2Error:
        return None


def _sampled(kind: _Kind) -> list[SlideRef]:
    """Return the scored images to sample: the same ones however many are added or listed, spread over all."""
    scored = [ref for ref in kind.members if ref.id in kind.fingerprints]
    # By a digest of the name, not by position: an image added in front must not exchange all others.
    scored.sort(key=lambda ref: hashlib.sha256(ref.id.encode()).digest())
    return sorted(scored[:_MAX_IMAGES], key=lambda ref: ref.id)


def _own_directions(
    kinds: Sequence[_Kind],
    stored: StainsFile,
    settings: Settings,
    listen: Callable[[str], None] | None,
) -> dict[str, StainDirections]:
    """Return the own directions of the sampled images, read from the file where the image is unchanged."""
    own: dict[str, StainDirections] = {}
    for kind in kinds:
        wanted = _sampled(kind)
        known = {
            ref.id: stored.images[ref.id][1]
            for ref in wanted
            if stored.images.get(ref.id, ("",))[0] == kind.fingerprints[ref.id]
        }
        left = [ref for ref in wanted if ref.id not in known]
        if left and listen is not None:
            listen(f"stains  sampling {len(left)} images ({kind.name})")
        own |= known
        for ref in left:
            try:
                with open_image(ref) as slide:
                    size = ref.pixel_size_um or slide.pixel_size_um
                    tissue = find_tissue(slide, pixel_size_um=size, settings=settings.tissue)
                    own[ref.id] = stain_directions(sample_tissue(slide, tissue, size), settings.stains)
            except ImageReadError:
                # Its own job reports the damage; the others must not fail with it.
                continue
    return own


def _kept_groups(kind: _Kind, own: Mapping[str, StainDirections], settings: Settings) -> list[KeptGroup]:
    """Estimate the groups of a kind; one group with QuPath's defaults where no image could be sampled."""
    found = group_images({ref.id: own[ref.id] for ref in _sampled(kind) if ref.id in own}, settings.stains)
    if not found:
        found = [StainGroup((), QUPATH_H_DAB)]
    return [
        KeptGroup(
            group.vectors.hematoxylin,
            group.vectors.dab,
            group.vectors.source,
            {name: kind.fingerprints[name] for name in group.members},
        )
        for group in found
    ]


def _kept_or_new(
    kind: _Kind, kept: list[KeptGroup] | None, estimated: list[KeptGroup], own: Mapping[str, StainDirections]
) -> tuple[list[KeptGroup], list[str]]:
    """Return the groups to use, kept or estimated anew, and the note that says why."""
    if not kept or kept == estimated:
        return estimated, []
    came_from = {name: mark for group in kept for name, mark in group.members.items()}
    if not came_from:
        # QuPath's defaults, kept from a run in which no image was scored: nothing depends on them.
        return estimated, []
    gone = [name for name, mark in came_from.items() if kind.fingerprints.get(name) != mark]
    if gone:
        return estimated, [
            f"The stain vectors of '{kind.name}' are estimated again: {kind.named(gone)}, which they came from, "
            f"{'is' if len(gone) == 1 else 'are'} gone, changed or not scored any more. Its images are scored again."
        ]
    sampled = {name for group in estimated for name in group.members}
    if not sampled - set(came_from):
        return estimated, []
    moved = max(deviation_deg(_vectors_of(name, kept), _vectors_of(name, estimated)) for name in sampled)
    n_added = len(sampled - set(came_from))
    added = f"{n_added} image{'s' if n_added > 1 else ''} added since"
    if moved <= _KEPT_WITHIN_DEG:
        return kept, [
            f"The stain vectors of '{kind.name}' are kept: {added} would move them by {moved:.1f}°. "
            "--force estimates them again and scores all images again."
        ]
    return estimated, [
        f"The stain vectors of '{kind.name}' are estimated again: {added} move them by {moved:.1f}°. "
        "Its images are scored again."
    ]


def _group_notes(kind: _Kind, groups: list[KeptGroup], own: Mapping[str, StainDirections]) -> list[str]:
    """Return notes on images that left the group of their kind, and on groups with QuPath's default vectors."""
    notes = []
    main = groups[0]
    for group in groups[1:]:
        away = max(
            (deviation_deg(own[name], main.vectors) for name in group.members if name in own), default=0.0
        )
        has, are = ("has", "is") if len(group.members) == 1 else ("have", "are")
        notes.append(
            f"{kind.named(group.members)} {has} other stain vectors than the {len(main.members)} other images of "
            f"'{kind.name}' ({away:.0f}° away) and {are} scored with vectors of their own."
        )
    notes += [
        f"The stain vectors of '{kind.name}' are {group.vectors.source}. If the colours of these images differ from "
        "QuPath's defaults, set the vectors in QuPath or under [stain_vectors] in her2.toml, or score the images "
        "together with strongly stained ones of the same batch."
        for group in groups
        if group.vectors.source.startswith(QUPATH_H_DAB.source) and group.members
    ]
    return notes


def _vectors_of(image: str, groups: Sequence[KeptGroup]) -> StainVectors:
    """Return the vectors of an image."""
    return _group_of(image, groups).vectors


def _group_of(image: str, groups: Sequence[KeptGroup]) -> KeptGroup:
    """Return the group of an image; the largest one where it was not sampled."""
    return next((group for group in groups if image in group.members), groups[0])
