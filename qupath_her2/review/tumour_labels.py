"""Labels of cells for the tumour finder: what people said about tumour and other tissue.

Tumour are the cells of the regions that a person drew or accepted, and single cells that have one of the graded
classes. Other tissue are regions of stroma, proposals that were deleted or given a class of *Ignore*, the parts cut off
from those that were edited, and single cells that were deleted or marked *not a tumour cell*. Carcinoma in situ,
controls, and what was drawn as *Ignore* from the start are neither.

A drawn region holds stroma and lymphocytes too: of its cells only those that the finder takes for tumour before the
others are learned from, half of them. Single cells win over regions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import shapely
from scipy.spatial import cKDTree

from qupath_her2.errors import Her2Error
from qupath_her2.project.class_names import class_role, is_proposed
from qupath_her2.provenance import is_made_region
from qupath_her2.regions import SUBTRACTING, nesting_order
from qupath_her2.review.cell_changes import WrittenCells
from qupath_her2.review.known_labels import known_changes
from qupath_her2.review.label_groups import is_uuid
from qupath_her2.review.labels import (
    NOT_TUMOUR,
    CellLabel,
    labels_folder,
    list_labels,
    merged_labels,
    round_labels,
)
from qupath_her2.review.region_changes import Drawn
from qupath_her2.review.round_files import read_copies, read_rounds
from qupath_her2.review.undo import undone_rounds, without_undone
from qupath_her2.review.written_proposals import regions_before

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.project.class_names import ClassNames
    from qupath_her2.records import Region, SlideRef
    from qupath_her2.review.changes import Change

__all__ = ["ImageWords", "Said", "label_cells", "labelled_places", "said_of_tumour"]

#: A mark counts for the nearest cell within this, µm: half of a small cell.
_NEAR_UM = 6.0


@dataclass(frozen=True, slots=True)
class ImageWords:
    """What people said about an image, besides its regions as they are now.

    Attributes
    ----------
    marks
        x, y in level-0 pixels, and whether it is a tumour cell.
    rejected
        Proposals, or parts of them, that are no tumour; level-0 pixels.
    """

    marks: tuple[tuple[float, float, bool], ...] = ()
    rejected: tuple[shapely.Geometry, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What people said about the images of a project.

    Attributes
    ----------
    words
        {image id: words}.
    reviewed
        Ids of all images that people reviewed, whatever they changed.
    reviewers
        {name: number of cells and regions}.
    rounds
        {round: its digest}.
    notes
        Sentences about what cannot be used.
    """

    words: Mapping[str, ImageWords]
    reviewed: frozenset[str]
    reviewers: Mapping[str, int]
    rounds: Mapping[str, str]
    notes: tuple[str, ...]


def said_of_tumour(her2: Path, images: Sequence[SlideRef], names: ClassNames) -> Said:
    """Return what the rounds and lists of a project say about tumour and other tissue.

    Parameters
    ----------
    her2
        The exchange folder.
    images
        Images of the project.
    names
        Class names by role.

    Returns
    -------
    Said
        Without objects on which people differ, and without undone rounds.
    """
    known = known_changes(her2)
    listed, problems = list_labels(sorted(labels_folder(her2).glob("*.csv")))
    cells, n_differing = merged_labels([*round_labels(known.changes), *listed])
    notes = [*known.notes, *problems]
    if n_differing:
        notes.append(f"{n_differing} cells that people called differently are left out")
    if known.conflicts:
        notes.append(
            f"{len(known.conflicts)} objects on which people differ are left out until they are settled"
        )
    regions: dict[str, list[Change]] = defaultdict(list)
    for one in known.changes:
        if one.kind == "region":
            regions[one.image].append(one)
    by_image: dict[str, list[CellLabel]] = defaultdict(list)
    for label in cells:
        by_image[label.image].append(label)
    refs = {ref.id: ref for ref in images}
    words = {}
    for image in sorted({*by_image, *regions}):
        ref = refs.get(image)
        if ref is None:
            notes.append(f"image '{image}' is not in the project; what was said about it is not used")
            continue
        try:
            marks = _marks(her2, ref, by_image[image], notes)
            words[image] = ImageWords(marks, tuple(_rejected(her2, ref, regions[image], names)))
        except Her2Error as error:
            # One damaged run must not hold back what was said about other images.
            notes.append(f"{ref.name}: what was said about it is not used: {error}")
    reviewers = Counter(one.reader for one in cells)
    reviewers.update(one.author for found in regions.values() for one in found)
    counted = [*without_undone(read_rounds(her2)[0], undone_rounds(her2)[0]), *read_copies(her2)[0]]
    return Said(
        words,
        frozenset(known.images | {one.image for one in listed}),
        dict(sorted(reviewers.items())),
        {one.name: one.digest for one in counted},
        tuple(notes),
    )


def _marks(
    her2: Path, ref: SlideRef, labels: Iterable[CellLabel], notes: list[str]
) -> tuple[tuple[float, float, bool], ...]:
    written = WrittenCells(her2, ref.id)
    marks, n_lost = [], 0
    for one in labels:
        if one.x and one.y:
            x, y = float(one.x), float(one.y)
        else:
            place = written.find(UUID(one.uuid)) if is_uuid(one.uuid) else None
            if place is None:
                n_lost += 1
                continue
            x, y = place[1].centroid_xy[place[2]].tolist()
        marks.append((x, y, one.code != NOT_TUMOUR))
    if n_lost:
        notes.append(f"{ref.name}: {n_lost} labelled cells of no result that is left; the others are used")
    return tuple(marks)


def _rejected(
    her2: Path, ref: SlideRef, changes: Sequence[Change], names: ClassNames
) -> list[shapely.Geometry]:
    """Return what was a proposal, or a tumour region, and is no tumour by a person's word."""
    found = []
    edited = {one.uuid: one for one in changes if one.aspect == "outline" and is_uuid(one.uuid)}
    before = regions_before(her2, ref, {}, edited) if edited else {}
    for one in changes:
        if one.geometry is None:
            continue
        now = Drawn(one.geometry, "", "").shape
        was_tumour = is_proposed(one.before) or class_role(one.before, names) == "tumour"
        is_out = one.change == "class changed" and was_tumour and class_role(one.after, names) == "ignore"
        if is_out or (one.change == "removed" and is_proposed(one.before)):
            found.append(now)
        elif one.uuid in before and edited.get(one.uuid) is one:
            found.append(shapely.difference(before[one.uuid].shape, now))
    return [shape for shape in found if shape.area > 0]


def labelled_places(words: ImageWords | None, regions: Sequence[Region]) -> list[shapely.Geometry]:
    """Return where cells have labels, level-0 pixels; empty where none has.

    Parameters
    ----------
    words
        What people said about the image; None for nothing.
    regions
        Regions of the image as they are now.
    """
    drawn = [one.geometry for one in regions if _says(one) is not None]
    if words is None:
        return drawn
    return [*drawn, *words.rejected, *(shapely.Point(x, y) for x, y, _ in words.marks)]


def _says(region: Region) -> bool | None:
    """Return whether a region is tumour by a person's word, or other tissue; None where nobody says so."""
    if region.role == "tumour":
        return None if is_made_region(region) else True
    return False if region.role == "stroma" else None


def label_cells(
    centre_xy: NDArray[np.float64],
    um_px: float,
    probability: NDArray[np.float32],
    regions: Sequence[Region],
    words: ImageWords | None,
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Return what each cell of an image is by the words of people.

    Parameters
    ----------
    centre_xy
        float64 (N, 2), centres of the cells, level-0 pixels.
    um_px
        Pixel size of level 0, µm.
    probability
        float32 (N), of tumour, by the finder so far.
    regions
        Regions of the image as they are now.
    words
        What people said besides; None for nothing.

    Returns
    -------
    label : NDArray[np.int8]
        int8 (N), 1 tumour, 0 other, -1 unknown.
    learns : NDArray[np.bool_]
        bool (N), cells to learn from; the others are only judged.
    """
    words = words or ImageWords()
    label, learns = np.full(len(centre_xy), -1, np.int8), np.zeros(len(centre_xy), bool)
    for shape in words.rejected:
        label[_inside(shape, centre_xy)] = 0
    taken = np.zeros(len(centre_xy), bool)
    for i in nesting_order(regions):
        region = regions[i]
        says = _says(region)
        if says is None and region.role not in SUBTRACTING:
            continue
        own = _inside(region.geometry, centre_xy) & ~taken
        taken |= own
        if says is None:
            # A rejected proposal that is now of class Ignore stays what it was called.
            continue
        label[own] = int(says)
        if says and own.any():
            learns[own] = probability[own] >= np.median(probability[own])
    learns[label == 0] = True
    if words.marks and len(centre_xy):
        marks = np.array([mark[:2] for mark in words.marks])
        away, nearest = cKDTree(centre_xy).query(marks)
        near = away * um_px <= _NEAR_UM
        label[nearest[near]] = np.array([mark[2] for mark in words.marks], np.int8)[near]
        learns[nearest[near]] = True
    return label, learns


def _inside(shape: shapely.Geometry, xy: NDArray[np.float64]) -> NDArray[np.bool_]:
    shapely.prepare(shape)
    return np.asarray(shapely.contains_xy(shape, xy[:, 0], xy[:, 1]), bool)
