"""Image files of a published data set, and what their names say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from qupath_her2.errors import PatchError
from qupath_her2.patches.datasets.sources import SourceImage
from qupath_her2.project.exchange.image_ids import folder_image_id
from qupath_her2.records import CaseInfo

__all__ = ["SLIDES", "case_number", "image_files", "match_name", "require_images", "source_image"]

T = TypeVar("T")

#: File name suffixes of slides and flat images.
SLIDES = (".ndpi", ".svs", ".tif", ".tiff", ".mrxs", ".png", ".jpg", ".jpeg")


def image_files(folder: Path, suffixes: tuple[str, ...], what: str, example: str) -> list[Path]:
    """Find the images of a data set.

    Parameters
    ----------
    folder
        The data set's folder, searched with its subfolders.
    suffixes
        File name suffixes in lower case, with the dot.
    what, example
        Name of the data set, and an example of the file names that it uses, for the error message.

    Returns
    -------
    list of Path
        At least one file, sorted; this package's own output is left out.

    Raises
    ------
    PatchError
        There is no such image.
    """
    # Sorted, because the order of a directory differs between systems and the manifest must not.
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.casefold() in suffixes
        and path.is_file()
        and "her2" not in path.relative_to(folder).parts[:-1]
    ]
    return list(require_images(found, folder, f"{example} ({what})"))


def require_images(found: Iterable[T], folder: Path, example: str) -> tuple[T, ...]:
    """Return the items found, and raise an error if there are none.

    Parameters
    ----------
    found
        Images, or anything else that was searched for.
    folder, example
        The folder searched and an example of the file names expected, for the error message.

    Returns
    -------
    tuple
        All of `found`, at least one.

    Raises
    ------
    PatchError
        `found` is empty.
    """
    kept = tuple(found)
    if not kept:
        raise PatchError(
            f"No image in '{folder}' or below is named like {example}. Check --layout and the folder."
        )
    return kept


def match_name(pattern: re.Pattern[str], path: Path, example: str) -> re.Match[str]:
    """Match a file name, without its suffix, against the data set's naming scheme.

    Parameters
    ----------
    pattern
        The naming scheme; the whole name must match.
    path
        The image file.
    example
        An example of the expected names, for the error message.

    Returns
    -------
    re.Match
        The match, whose groups hold the label and the like.

    Raises
    ------
    PatchError
        The name does not match.
    """
    name = pattern.fullmatch(path.stem)
    if name is None:
        raise PatchError(
            f"'{path.name}' is not named like {example}, so its label is unknown. Check --layout."
        )
    return name


def case_number(text: str) -> str:
    """Return a case number without leading zeros and decimals: tables have 1 or 1.0 where file names have 01."""
    # Spreadsheets write a column of numbers with gaps as 1.0.
    text = re.sub(r"\.0+$", "", text.strip())
    return text.lstrip("0") or "0" if text.isdigit() else text


def source_image(
    folder: Path,
    path: Path,
    label: str | None,
    *,
    case: str | None = None,
    split: int = -1,
    regions_path: Path | None = None,
) -> SourceImage:
    """Describe an image of a data set.

    Parameters
    ----------
    folder
        The data set's folder.
    path
        The image file in it.
    label
        Label of the image as written, None where there is none.
    case
        Case id, None where the data set gives none.
    split
        Index into `table.SPLITS`, -1 where the data set publishes no split.
    regions_path
        The data set's own regions as Aperio XML, all of them tumour; a GeoJSON file next to the image takes precedence.

    Returns
    -------
    SourceImage
        The image, named by its path relative to `folder`.
    """
    # With "/" on every system: the id is a hash of this path, and a study may move from Windows to a server.
    relative = path.relative_to(folder).as_posix()
    beside = (path.with_name(path.name + ".geojson"), path.with_suffix(".geojson"))
    # Regions drawn later in QuPath are corrections of the published ones.
    geojson = next((candidate for candidate in beside if candidate.is_file()), None)
    return SourceImage(
        id=folder_image_id(relative),
        name=relative,
        path=path,
        case=CaseInfo(case=case),
        label=label,
        regions_path=geojson or regions_path,
        are_all_tumour=geojson is None and regions_path is not None,
        split=split,
    )
