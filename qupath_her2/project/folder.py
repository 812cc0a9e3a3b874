"""Plain image folders as projects, and the images of a pulled QuPath project.

Which files are images is said by `project.image_files`, which region file belongs to which by `project.region_files`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qupath_her2.errors import Her2Error
from qupath_her2.project.cases import case_of, read_cases
from qupath_her2.project.exchange.image_ids import folder_image_id
from qupath_her2.project.exchange.images import exchange_root, read_images
from qupath_her2.project.image_files import (
    IMAGE_SUFFIXES,
    OUTPUT_NAME,
    ImageFiles,
    dicom_folder,
    find_image_files,
    image_stems,
    image_suffix,
    nfc,
)
from qupath_her2.project.region_files import find_region_files, unclaimed_region_files
from qupath_her2.records import SlideRef

__all__ = [
    "OUTPUT_NAME",
    "find_cases_file",
    "find_images",
    "folder_notes",
    "not_exported_message",
    "project_file",
    "project_folder",
    "pulled_images",
]


def find_images(
    folder: Path,
    *,
    her2: Path | None = None,
    recursive: bool = False,
    names: Sequence[str] | None = None,
) -> list[SlideRef]:
    """Return the images of a folder sorted by name, each with its region file, case data and QuPath calibration.

    Parameters
    ----------
    folder
        Folder of images.
    her2
        The exchange folder, by default ``folder/her2``. Pixel sizes and stains come from its ``images.json``,
        case data from its ``cases.csv`` or the one in `folder`. It is never searched for images.
    recursive
        Search sub-folders too.
    names
        Restrict to these images; names with or without extension, or the folder of a DICOM slide. None selects all.

    Returns
    -------
    list[SlideRef]
        One record per image; `name` is the path relative to `folder`, with ``/``.

    Raises
    ------
    Her2Error
        `folder` is an image file, does not exist, contains no image, or lacks one of `names`.
    RegionFileError
        Two images could claim one region file, or one image has two; every case is listed.
    """
    her2 = her2 or folder / OUTPUT_NAME
    listing = find_image_files(_check_folder(folder), her2, recursive=recursive)
    files = listing.images if names is None else _select(listing.images, names, folder)
    if not files:
        raise Her2Error(_no_image_message(folder, listing, recursive))
    regions = find_region_files(files, folder)
    known = {image.name: image for image in read_images(her2)} if (her2 / "images.json").is_file() else {}
    cases_path = find_cases_file(folder, her2)
    cases = read_cases(cases_path) if cases_path else {}
    slides = []
    for path in files:
        relative = nfc(path.relative_to(folder).as_posix())
        slide = known.get(relative) or SlideRef(folder_image_id(relative), relative, path)
        # The path relative to the folder first, since sub-folders may repeat file names.
        case = case_of(cases, relative) or case_of(cases, path.name) or slide.case
        slides.append(
            replace(
                slide,
                path=path,
                # A region file next to the image takes precedence: somebody put it there deliberately.
                regions_path=regions.by_image.get(path) or slide.regions_path,
                case=case,
            )
        )
    _refuse_same_ids(slides)
    return slides


def folder_notes(folder: Path, her2: Path | None = None) -> list[str]:
    """Return sentences on the files of a plain folder that are not read or not used.

    Parameters
    ----------
    folder
        Folder of images.
    her2
        The exchange folder, by default ``folder/her2``.

    Returns
    -------
    list[str]
        One for each kind of files, with the reason and the way out. Empty for a QuPath project, whose images are
        listed in ``images.json``, and where `folder` is no folder.
    """
    her2 = her2 or folder / OUTPUT_NAME
    if not folder.is_dir() or pulled_images(her2) is not None:
        return []
    listing = find_image_files(folder, her2)
    unread = [path for paths in listing.unread.values() for path in paths]
    return [*listing.sentences(), *unclaimed_region_files(listing.images, unread, folder)]


def _no_image_message(folder: Path, listing: ImageFiles, recursive: bool) -> str:
    found = listing.sentences()
    # What is there says more than a list of endings.
    looked = " ".join(found) or f"Looked for files ending in {', '.join(IMAGE_SUFFIXES)}."
    return f"No image in '{folder}'. {looked}" + ("" if recursive else " Sub-folders are not searched.")


def project_folder(folder: Path) -> Path:
    """Return the folder of a project, given either the folder or its ``project.qpproj``."""
    return folder.parent if folder.suffix == ".qpproj" and folder.is_file() else folder


def not_exported_message(project: Path, then: str) -> str:
    """Return the error message for a QuPath project that was never pulled; `then` is the command to run next."""
    return (
        f"Project '{project}' has not been exported yet. Run qupath-her2 pull \"{project}\", or "
        f"export_regions.groovy in QuPath, then {then}."
    )


def project_file(folder: Path) -> Path | None:
    """Return the ``.qpproj`` file that `folder` is or contains; None for a plain folder.

    Raises
    ------
    Her2Error
        The folder contains several projects.
    """
    if folder.suffix == ".qpproj" and folder.is_file():
        return folder
    found = sorted(folder.glob("*.qpproj")) if folder.is_dir() else []
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise Her2Error(
            f"'{folder}' contains {len(found)} QuPath projects: {names}. Pass the path of one of them."
        )
    return found[0] if found else None


def pulled_images(her2: Path, names: Sequence[str] | None = None) -> list[SlideRef] | None:
    """Return the images of a pulled QuPath project in project order; None for a plain folder.

    Parameters
    ----------
    her2
        The exchange folder. Its ``images.json`` lists the images; its ``cases.csv`` takes precedence over the
        metadata of the project entries.
    names
        Restrict to these images; names with or without extension. None selects all.

    Raises
    ------
    Her2Error
        One of `names` is not an image of the project.
    ExchangeError
        ``images.json`` is damaged.
    """
    her2 = exchange_root(her2)
    if not (her2 / "images.json").is_file():
        return None
    images = [image for image in read_images(her2) if image.entry_id is not None]
    if not images:
        return None
    for name in names or ():
        if not any(nfc(name) in _accepted_names(image) for image in images):
            available = _listing([image.name for image in images])
            raise Her2Error(f"No image '{name}' in the project of '{her2}'. Available: {available}.")
    wanted = None if names is None else {nfc(name) for name in names}
    selected = [image for image in images if wanted is None or wanted & _accepted_names(image)]
    cases_path = find_cases_file(her2.absolute().parent, her2)
    cases = read_cases(cases_path) if cases_path else {}
    return [replace(image, case=case_of(cases, image.name) or image.case) for image in selected]


def _accepted_names(image: SlideRef) -> set[str]:
    return {image.name, image.id, *image_stems(image.name), Path(image.name).stem}


def find_cases_file(folder: Path, her2: Path) -> Path | None:
    """Return the ``cases.csv`` of the exchange folder or of the image folder, None if there is none.

    Raises
    ------
    Her2Error
        Both folders have one.
    """
    found = [path for path in (exchange_root(her2) / "cases.csv", folder / "cases.csv") if path.is_file()]
    if len(found) > 1:
        raise Her2Error(f"There are two case lists, '{found[0]}' and '{found[1]}'. Delete one of them.")
    return found[0] if found else None


def _check_folder(folder: Path) -> Path:
    if folder.is_file():
        suffix = image_suffix(folder.name)
        if suffix is None:
            raise Her2Error(
                f"'{folder.name}' is a file, not a folder of images. Pass the folder that contains the images."
            )
        stem = folder.name[: -len(suffix)]
        raise Her2Error(
            f"'{folder.name}' is an image, not a project. "
            f"Put it into a folder with {stem}.geojson and run that folder,\n"
            f"       or: qupath-her2 run . --images {_quoted(folder.name)} --whole-tissue"
        )
    if not folder.is_dir():
        raise Her2Error(f"Folder '{folder}' does not exist. Check the path.")
    return folder


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


def _short_names(path: Path, folder: Path) -> list[str]:
    """Return the names by which an image may be called besides its path: its file name, and its DICOM folder's."""
    own_folder = dicom_folder(path, folder)
    return [nfc(path.name), *([] if own_folder is None else [nfc(own_folder.name)])]


def _select(files: list[Path], names: Sequence[str], folder: Path) -> list[Path]:
    wanted = [nfc(name) for name in names]
    selected: list[Path] = []
    for name in wanted:
        found = [
            path
            for path in files
            if name in (nfc(path.relative_to(folder).as_posix()), *_short_names(path, folder))
        ]
        # Full names first: they are unambiguous, whereas a stem selects every image that has it.
        found = found or [path for path in files if name in image_stems(path.name)]
        if not found:
            raise Her2Error(
                f"No image '{name}' in '{folder}'. Available: {_listing([path.name for path in files])}."
            )
        selected += [path for path in found if path not in selected]
    return sorted(selected, key=files.index)


def _listing(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _refuse_same_ids(slides: Sequence[SlideRef]) -> None:
    # Linux keeps both forms apart as files, but image ids are derived from the NFC name.
    seen: dict[str, SlideRef] = {}
    for slide in slides:
        other = seen.setdefault(slide.id, slide)
        if other is not slide:
            raise Her2Error(
                f"Images '{other.path}' and '{slide.path}' have the same name in two Unicode forms. "
                "Rename one of them."
            )
