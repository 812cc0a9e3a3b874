"""Finding the images of a published data set, and naming them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from qupath_her2.errors import PatchError
from qupath_her2.patches.datasets.sources import SourceImage
from qupath_her2.project.exchange.runs import folder_image_id
from qupath_her2.records import CaseInfo

__all__ = ["SLIDES", "case_number", "image_files", "matched_name", "some_of", "source_image"]

T = TypeVar("T")

#: Endings of slides and flat images.
SLIDES = (".ndpi", ".svs", ".tif", ".tiff", ".mrxs", ".png", ".jpg", ".jpeg")


def image_files(folder: Path, suffixes: tuple[str, ...], what: str, example: str) -> list[Path]:
    """Return the images below `folder` by name, without our own output; PatchError with `example` where none is."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.casefold() in suffixes
        and path.is_file()
        and "her2" not in path.relative_to(folder).parts[:-1]
    ]
    return list(some_of(found, folder, f"{example} ({what})"))


def some_of(found: Iterable[T], folder: Path, example: str) -> tuple[T, ...]:
    """Return what was found; PatchError where that is nothing."""
    kept = tuple(found)
    if not kept:
        raise PatchError(
            f"No image below '{folder}' that lies like {example}. Check --layout and the folder."
        )
    return kept


def matched_name(pattern: re.Pattern[str], path: Path, example: str) -> re.Match[str]:
    """Return the match of a file's name without its ending; PatchError with `example` where it is another."""
    name = pattern.fullmatch(path.stem)
    if name is None:
        raise PatchError(
            f"'{path.name}' is not named like {example}, so its label is unknown. Check --layout."
        )
    return name


def case_number(text: str) -> str:
    """Return a case's number without leading zeros: tables write 1 where files write 01."""
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
    """Return an image of a data set; a GeoJSON beside it wins over the data set's own regions."""
    relative = path.relative_to(folder).as_posix()
    beside = (path.with_name(path.name + ".geojson"), path.with_suffix(".geojson"))
    geojson = next((candidate for candidate in beside if candidate.is_file()), None)
    return SourceImage(
        id=folder_image_id(relative),
        name=relative,
        path=path,
        case=CaseInfo(case=case),
        label=label,
        regions_path=geojson or regions_path,
        regions_format="geojson" if geojson or regions_path is None else "aperio",
        split=split,
    )
