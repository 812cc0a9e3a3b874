"""Choice of one picture in a TIFF file that holds several: images, z-planes, time points, and stain channels apart.

Pictures are counted from 0 in the order of the file, as ``--series`` of Bio-Formats and QuPath counts them; reduced
copies of a picture are its pyramid levels and not counted. Without a choice by the user the largest colour picture is
read, labels and macro photographs left aside. Where that leaves a choice, none is made: the error lists what there is.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from qupath_her2.slides.readers.base import DECODE_ERRORS
from qupath_her2.slides.readers.limits import LimitError
from qupath_her2.slides.readers.ome_xml import is_fluorescence
from qupath_her2.slides.readers.tiff_metadata import open_tiff

__all__ = ["SelectionError", "TiffPicture", "choose_picture", "needs_choice"]

#: Pictures beside the scan, by the names that scanners and export programs give them.
_BESIDE = re.compile(r"\b(label|macro|thumb(nail)?|overview|preview|barcode|slide ?map)\b", re.IGNORECASE)
#: Pictures of at least this share of the largest one's area are similar in size: either may be meant. Pyramid levels
#: that are not marked as such have a quarter.
_SIMILAR_SHARE = 0.5
#: Longest list of pictures in a message.
_MAX_LISTED = 8
_AXIS_NAMES = {"Z": "z-planes", "T": "time points"}
_EIGHT_BIT = "Score the brightfield scan of the HER2 slide, or export it as 8-bit RGB OME-TIFF from QuPath."


class SelectionError(LimitError):
    """The file is intact, but which of its pictures is meant must be said, or the chosen one does not exist."""


@dataclass(frozen=True, slots=True)
class TiffPicture:
    """One plane of one picture of a TIFF file.

    Attributes
    ----------
    series
        Number of the picture in the file, from 0.
    page
        tifffile's page of the plane; the first one where channels are stored apart.
    pages
        All pages of the plane: one, or one for each of red, green and blue.
    is_first
        True if the plane is the file's first page, which readers without a choice read.
    is_volume
        True if the planes lie in one block of `parent`'s array instead of on pages of their own.
    plane
        Number of the plane within the picture, from 0.
    parent
        tifffile's series.
    """

    series: int
    page: Any
    pages: tuple[Any, ...]
    is_first: bool
    is_volume: bool
    plane: int
    parent: Any


def choose_picture(
    tiff: tifffile.TiffFile, series: int | None = None, plane: int | None = None
) -> TiffPicture:
    """Return the picture and plane to read.

    Parameters
    ----------
    tiff
        The open file.
    series
        Number of the picture, from 0; None chooses the largest colour picture that is no label or macro photograph.
    plane
        Number of the z-plane, time point or page of equal size, from 0; None if the picture must have only one.

    Returns
    -------
    TiffPicture
        One plane.

    Raises
    ------
    SelectionError
        Several pictures or planes to choose from, a number that does not exist, or fluorescence channels.
    """
    pictures = _pictures(tiff)
    if series is not None and not 0 <= series < len(pictures):
        raise SelectionError(
            f"it has no series {series}; it has {_listing(pictures)}", "Choose one with --series."
        )
    number = _largest(pictures) if series is None else series
    return _plane_of(tiff, pictures[number], number, plane)


def needs_choice(path: Path, series: int | None = None, plane: int | None = None) -> bool:
    """Return whether OpenSlide would misread a TIFF: another page than its first is meant, or it has over 8 bits.

    Parameters
    ----------
    path
        A TIFF file.
    series, plane
        As in `choose_picture`.

    Returns
    -------
    bool
        False for damaged files, of which OpenSlide may read more.
    """
    try:
        with open_tiff(path) as tiff:
            chosen = choose_picture(tiff, series, plane)
            return not chosen.is_first or chosen.page.bitspersample > 8
    except DECODE_ERRORS:
        return False


def _pictures(tiff: tifffile.TiffFile) -> list[Any]:
    """Return tifffile's series without those that are reduced copies, that is, pyramid levels."""
    found = list(tiff.series)
    # Aperio's label and macro are marked as reduced, and found by their names; elsewhere the mark means a level.
    full = found if tiff.is_svs else [one for one in found if not one.keyframe.subfiletype & 1]
    return full or found


def _largest(pictures: list[Any]) -> int:
    """Return the number of the largest colour picture that is no label; SelectionError if another is as large."""
    numbers = list(range(len(pictures)))
    slides = [n for n in numbers if not _BESIDE.search(pictures[n].name or "")] or numbers
    coloured = [n for n in slides if _is_coloured(pictures[n])] or slides
    largest = max(coloured, key=lambda n: _area(pictures[n]))
    similar = [n for n in coloured if _area(pictures[n]) >= _SIMILAR_SHARE * _area(pictures[largest])]
    if len(similar) > 1:
        raise SelectionError(
            f"it holds {len(similar)} pictures of similar size: {_listing(pictures, similar)}",
            f"Choose one with --series, e.g. --series {similar[0]}.",
        )
    return largest


def _is_coloured(picture: Any) -> bool:
    return picture.keyframe.samplesperpixel >= 3 or _sizes(picture).get("C", 1) == 3


def _area(picture: Any) -> int:
    return int(picture.keyframe.imagewidth * picture.keyframe.imagelength)


def _sizes(picture: Any) -> dict[str, int]:
    return dict(zip(picture.axes, picture.shape, strict=True))


def _listing(pictures: list[Any], numbers: list[int] | None = None) -> str:
    shown = list(range(len(pictures))) if numbers is None else numbers
    words = []
    for n in shown[:_MAX_LISTED]:
        page, name = pictures[n].keyframe, pictures[n].name
        words.append(
            f"series {n} {f'({name!r}) ' if name else ''}of {page.imagewidth} × {page.imagelength} px"
        )
    more = f" and {len(shown) - _MAX_LISTED} more" if len(shown) > _MAX_LISTED else ""
    return ", ".join(words) + more


def _plane_of(tiff: tifffile.TiffFile, picture: Any, number: int, plane: int | None) -> TiffPicture:
    within = len(picture.keyframe.shape)
    leading = list(zip(picture.axes, picture.shape, strict=True))[: len(picture.shape) - within]
    channels = math.prod(n for axis, n in leading if axis == "C")
    stack = [(axis, n) for axis, n in leading if axis != "C" and n > 1]
    n_planes = math.prod(n for _, n in stack)
    if channels > 1:
        _check_channels(tiff, picture, number, channels)
    if plane is None and n_planes > 1:
        named = " by ".join(f"{n} {_AXIS_NAMES.get(axis, 'pages of equal size')}" for axis, n in stack)
        raise SelectionError(
            f"it is a stack of {named}, of which one must be chosen",
            f"Choose one of the planes 0 to {n_planes - 1} with --plane, e.g. --plane {n_planes // 2}.",
        )
    chosen = plane or 0
    if not 0 <= chosen < n_planes:
        planes = f"the planes 0 to {n_planes - 1}" if n_planes > 1 else "a single plane"
        raise SelectionError(f"it has no plane {chosen}; it has {planes}", "Correct or leave out --plane.")
    return _picture(tiff, picture, number, chosen, [(axis, n) for axis, n in leading if n > 1])


def _picture(
    tiff: tifffile.TiffFile, picture: Any, number: int, plane: int, leading: list[tuple[str, int]]
) -> TiffPicture:
    """Return the pages of a plane; pages lie in the order of the leading axes, the last changing fastest."""
    is_volume = len(picture.pages) != math.prod(n for _, n in leading)
    wanted = [0] if is_volume else _page_numbers(leading, plane)
    pages = []
    for n in wanted:
        page = picture.pages[n]
        # tifffile reads pages of equal layout as frames, which lack most tags.
        pages.append(page.aspage() if isinstance(page, tifffile.TiffFrame) else page)
    is_first = len(pages) == 1 and pages[0].index == 0
    return TiffPicture(number, pages[0], tuple(pages), is_first, is_volume, plane, picture)


def _page_numbers(leading: list[tuple[str, int]], plane: int) -> list[int]:
    numbers = [(0, 0)]
    for axis, n in leading:
        # (page, plane): channels count as pages but not as planes.
        grown = [(page * n + i, at if axis == "C" else at * n + i) for page, at in numbers for i in range(n)]
        numbers = grown
    return [page for page, at in numbers if at == plane]


def _check_channels(tiff: tifffile.TiffFile, picture: Any, number: int, channels: int) -> None:
    """Refuse channels that are no red, green and blue."""
    composite = (tiff.imagej_metadata or {}).get("mode") == "composite" if tiff.is_imagej else False
    xml = tiff.ome_metadata or "" if tiff.is_ome else ""
    if channels != 3 or picture.keyframe.samplesperpixel != 1 or composite or is_fluorescence(xml, number):
        raise SelectionError(
            f"it has {channels} channels, as fluorescence images have, and is not a brightfield RGB image",
            _EIGHT_BIT,
        )
