"""Region files of a folder: which one belongs to which image, and which belong to none.

The region file of ``case.png`` is ``case.png.geojson``, else ``case.geojson`` or ``case.roi.geojson``, each also with
``.gz`` or ``.zip``, or ``case.zip``, as QuPath names a compressed export; without any of them ``case.png.xml`` or
``case.xml`` (Aperio ImageScope, ASAP), or ``case.png.ndpa`` or ``case.ndpa`` (Hamamatsu). If both names without the
image's extension exist, if two images could claim the same file, or if it is a folder, a pipe or a broken link, that is
an error rather than a guess. Names are compared in NFC, so that files copied from macOS match.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qupath_her2.errors import ImageReadError, RegionFileError
from qupath_her2.project.drawn_xml.aperio import ROOTS
from qupath_her2.project.drawn_xml.elements import root_element
from qupath_her2.project.image_files import dicom_folder, image_stems, nfc, quoted_names
from qupath_her2.project.json_files import geojson_members

__all__ = ["RegionFiles", "find_region_files", "unclaimed_region_files"]

#: Endings of region files, the longest first; only endings are lowered, as the stem must match the image's exactly.
_ENDINGS = (
    *(".roi.geojson.gz", ".geojson.gz", ".roi.geojson.zip", ".geojson.zip", ".roi.geojson", ".geojson"),
    *(".xml", ".ndpa", ".zip"),
)
#: Endings in order of precedence: people correct in QuPath what they drew elsewhere.
_GEOJSON = (
    *(".geojson", ".geojson.gz", ".geojson.zip"),
    *(".roi.geojson", ".roi.geojson.gz", ".roi.geojson.zip", ".zip"),
)
_OTHERS = (".xml", ".ndpa")


@dataclass(slots=True)
class RegionFiles:
    """Region files by image.

    Attributes
    ----------
    by_image
        {image: its region file}.
    passed_over
        {image: its files of other formats}, where GeoJSON exists too.
    claimed
        Every file that some image claims, in use or not.
    """

    by_image: dict[Path, Path] = field(default_factory=dict)
    passed_over: dict[Path, list[Path]] = field(default_factory=dict)
    claimed: set[Path] = field(default_factory=set)


def find_region_files(images: Sequence[Path], folder: Path) -> RegionFiles:
    """Return the region file of each image that has one.

    Parameters
    ----------
    images
        The images.
    folder
        The folder that was searched for them.

    Returns
    -------
    RegionFiles
        The files in use, and those that GeoJSON takes precedence over.

    Raises
    ------
    RegionFileError
        Two images could claim one file, or one image has two; every case is listed.
    """
    found, problems = _match(images, folder)
    if problems:
        raise RegionFileError("Region files that cannot be used:\n  " + "\n  ".join(problems))
    return found


def unclaimed_region_files(images: Sequence[Path], unread: Iterable[Path], folder: Path) -> list[str]:
    """Return sentences on region files that no image claims, and on those that GeoJSON takes precedence over.

    Parameters
    ----------
    images
        All images of the folder.
    unread
        Images that are not read; their region files are no typing errors.
    folder
        The folder that was searched.

    Returns
    -------
    list[str]
        One for each kind; empty where every file is used.
    """
    found, _ = _match(images, folder)
    others, _ = _match(list(unread), folder)
    # A file typed wrongly is missing somewhere: only there is it worth a hint.
    without = [image for image in images if image not in found.by_image or _is_other(found.by_image[image])]
    stems = [stem for image in without for stem in image_stems(image.name)]
    orphans, foreign = [], []
    for place in sorted({folder, *(image.parent for image in images)}):
        for key, path in _named_files(place).items():
            if (
                path in found.claimed
                or path in others.claimed
                or not path.is_file()
                or _is_other_archive(path)
            ):
                continue
            ending = next(ending for ending in _ENDINGS if key.endswith(ending))
            if ending == ".xml" and root_element(path) not in ROOTS:
                foreign.append(path.name)
            else:
                orphans.append((path.name, key[: -len(ending)]))
    sentences = [
        f"Region file {quoted_names(path.name for path in paths)} of image '{image.name}' is not used, because "
        f"'{found.by_image[image].name}' is there too. Delete the one that is out of date."
        for image, paths in found.passed_over.items()
    ]
    if orphans:
        near = next(
            (_nearest(name, stem, stems) for name, stem in orphans if _nearest(name, stem, stems)), ""
        )
        sentences.append(
            f"Region files without an image of that name: {quoted_names(name for name, _ in orphans)}. Name a region "
            f"file after its image{near or ', e.g. case07.geojson for case07.svs.'}"
        )
    if foreign:
        sentences.append(
            f"Not read: {quoted_names(foreign)} (XML that holds no regions of Aperio ImageScope or ASAP). Export "
            "regions as GeoJSON from QuPath."
        )
    return sentences


def _nearest(name: str, stem: str, stems: Sequence[str]) -> str:
    """Return a hint at the image whose name is most like that of a region file; empty if none is."""
    close = difflib.get_close_matches(stem, stems, 1, 0.8) or [
        other for other in stems if other.casefold() == stem.casefold()
    ]
    return f": is '{name}' meant for '{close[0]}'?" if close else ""


def _match(images: Sequence[Path], folder: Path) -> tuple[RegionFiles, list[str]]:
    found, problems = RegionFiles(), []
    claims: dict[Path, list[Path]] = defaultdict(list)
    by_folder: dict[Path, dict[str, Path]] = {}
    for image in images:
        own, by_stem = _candidates(image, folder, by_folder)
        # A region file named after the whole file name belongs to that image alone, so it settles any ambiguity.
        chosen = own[:1] or by_stem
        geojson = [path for path in chosen if not _is_other(path)]
        every = [*own, *by_stem]
        found.claimed.update(every)
        chosen = geojson or [path for path in every if not _is_other(path)] or chosen
        if len(chosen) > 1:
            listed = "' and '".join(path.name for path in chosen)
            problems.append(f"image '{image.name}' has two region files, '{listed}'; keep one of them")
        elif chosen and not chosen[0].is_file():
            # Left out, its image would count as one without regions.
            problems.append(
                f"'{chosen[0].name}' is {_not_a_file(chosen[0])}, not a file; rename or delete it"
            )
        elif chosen:
            found.by_image[image] = chosen[0]
            claims[chosen[0]].append(image)
            others = [path for path in every if _is_other(path) and path != chosen[0]]
            if others:
                found.passed_over[image] = others
    for path, owners in claims.items():
        if len(owners) > 1:
            listed = "' and '".join(image.name for image in owners)
            new = owners[0].name + (path.suffix if _is_other(path) else ".geojson")
            problems.append(f"'{path.name}' could belong to '{listed}'; rename it to '{new}'")
    return found, problems


def _candidates(
    image: Path, folder: Path, by_folder: dict[Path, dict[str, Path]]
) -> tuple[list[Path], list[Path]]:
    """Return the region files named after the image's whole name, and those after its name without extension."""
    name = nfc(image.name)
    names = [(image.parent, stem) for stem in image_stems(image.name) if stem != name]
    # The regions of a DICOM slide lie beside its folder or, like those of other images, beside the file.
    own_folder = dicom_folder(image, folder)
    if own_folder is not None:
        names.append((own_folder.parent, nfc(own_folder.name)))
    for place in (image.parent, *(place for place, _ in names)):
        if place not in by_folder:
            by_folder[place] = _named_files(place)
    every = (*_GEOJSON, *_OTHERS)
    here = by_folder[image.parent]
    own = [here[name + ending] for ending in every if name + ending in here]
    by_stem = [
        by_folder[place][stem + ending]
        for place, stem in names
        for ending in every
        if stem + ending in by_folder[place]
    ]
    return [p for p in own if _holds_regions(p)], [p for p in by_stem if _holds_regions(p)]


def _is_other(path: Path) -> bool:
    return path.suffix.casefold() in _OTHERS


def _not_a_file(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "a pipe or a device" if path.exists() else "a broken link"


def _holds_regions(path: Path) -> bool:
    """Return False for XML and archives of another kind beside an image: scanners and viewers write some, too."""
    if _is_other_archive(path):
        return False
    if path.suffix.casefold() != ".xml" or not path.is_file():
        return True
    # Damaged XML counts as a region file, whose reader says so: leaving it out would lose regions silently.
    return root_element(path) in (*ROOTS, None)


def _is_other_archive(path: Path) -> bool:
    """Return whether a file is a zip archive that holds no GeoJSON; a damaged one counts as a region file."""
    if path.suffix.casefold() != ".zip" or not path.is_file():
        return False
    try:
        return not geojson_members(path)
    except RegionFileError:
        return False


def _named_files(folder: Path) -> dict[str, Path]:
    """Return {NFC name with its ending in lower case: path} of a folder's region files."""
    found = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ImageReadError(f"Folder '{folder}' cannot be read: {error.strerror or error}.") from error
    for path in paths:
        name = nfc(path.name)
        ending = next((ending for ending in _ENDINGS if name.casefold().endswith(ending)), None)
        if ending is not None and not name.startswith("."):
            found[name[: -len(ending)] + ending] = path
    return found
