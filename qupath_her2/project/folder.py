"""Plain image folders as projects, and the images of a pulled QuPath project.

The region file of ``case.png`` is ``case.png.geojson``, else ``case.geojson`` or ``case.roi.geojson``, each also
with ``.gz``. If both of the last two exist, or two images could claim the same file, that is an error rather
than a guess. Names are compared in NFC, so that files copied from macOS match.
"""

from __future__ import annotations

import configparser
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from qupath_her2.errors import Her2Error, ImageReadError, RegionFileError
from qupath_her2.project.cases import case_of, read_cases
from qupath_her2.project.exchange.image_ids import folder_image_id
from qupath_her2.project.exchange.images import exchange_root, read_images
from qupath_her2.records import SlideRef

__all__ = [
    "IMAGE_SUFFIXES",
    "OUTPUT_NAME",
    "find_cases_file",
    "find_images",
    "not_exported_message",
    "project_file",
    "project_folder",
    "pulled_images",
]

#: Name of the exchange folder inside a project or an image folder.
OUTPUT_NAME = "her2"
#: Extensions of image files; ``.ome.tif`` before ``.tif``, because the first match is cut off to get the stem.
IMAGE_SUFFIXES = (
    ".ome.tiff",
    ".ome.tif",
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".svs",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".bif",
    ".vms",
    ".vmu",
    ".svslide",
)
_REGION_SUFFIXES = (".geojson", ".roi.geojson")


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
        Restrict to these images; names with or without extension. None selects all.

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
    files = list(_image_files(_check_folder(folder), her2, recursive))
    if names is not None:
        files = _select(files, names, folder)
    if not files:
        raise Her2Error(
            f"No image in '{folder}'. Looked for files ending in {', '.join(IMAGE_SUFFIXES)}."
            + ("" if recursive else " Sub-folders are not searched.")
        )
    regions = _region_files(files)
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
                regions_path=regions.get(path) or slide.regions_path,
                case=case,
            )
        )
    _refuse_same_ids(slides)
    return slides


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
    return {image.name, image.id, *_stems(image.name), Path(image.name).stem}


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


def nfc(text: str) -> str:
    """Return text in composed Unicode (NFC); macOS stores file names decomposed."""
    return unicodedata.normalize("NFC", text)


def _check_folder(folder: Path) -> Path:
    if folder.is_file():
        suffix = _image_suffix(folder.name)
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


def _image_suffix(name: str) -> str | None:
    lowered = name.casefold()
    return next((suffix for suffix in IMAGE_SUFFIXES if lowered.endswith(suffix) and lowered != suffix), None)


def _image_files(folder: Path, her2: Path, recursive: bool) -> Iterator[Path]:
    """Yield image files sorted by name, without our own output and without the companion files of slides."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: nfc(entry.name))
    except OSError as error:
        raise ImageReadError(f"Folder '{folder}' cannot be read: {error.strerror or error}.") from error
    # Hidden files include the "._name" resource forks that macOS leaves on network drives.
    files = [entry for entry in entries if not entry.name.startswith(".") and entry.is_file()]
    tiles = {
        tile
        for entry in files
        if entry.name.casefold().endswith((".vms", ".vmu"))
        for tile in _hamamatsu_tiles(entry.path)
    }
    for entry in files:
        if _image_suffix(entry.name) and entry.name not in tiles:
            yield Path(entry.path)
    if not recursive:
        return
    # A MIRAX slide keeps its pixels in a folder of the same name.
    mrxs = {entry.name[:-5] for entry in files if entry.name.casefold().endswith(".mrxs")}
    for entry in entries:
        is_output = entry.name == OUTPUT_NAME or Path(entry.path) == her2
        if entry.is_dir() and not (entry.name.startswith(".") or entry.name in mrxs or is_output):
            yield from _image_files(Path(entry.path), her2, recursive)


def _hamamatsu_tiles(path: str) -> set[str]:
    """Return the names of the JPEG files listed in a Hamamatsu VMS or VMU index."""
    index = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        index.read(path, encoding="latin-1")
    except configparser.Error:
        # The slide reader reports this slide later; a damaged index must not stop the other images.
        return set()
    return {value for section in index.values() for value in section.values() if value}


def _region_files(files: Sequence[Path]) -> dict[Path, Path]:
    """Return {image: region file} for the images that have one."""
    claims: dict[Path, list[Path]] = defaultdict(list)
    result: dict[Path, Path] = {}
    problems = []
    by_folder: dict[Path, dict[str, Path]] = {}
    for image in files:
        if image.parent not in by_folder:
            by_folder[image.parent] = _geojson_files(image.parent)
        here = by_folder[image.parent]
        # A region file named after the whole file name belongs to that image alone, so it settles any ambiguity.
        own = [here[key] for key in _region_names(nfc(image.name)) if key in here][:1]
        by_stem = [here[key] for stem in _stems(image.name) for key in _region_names(stem) if key in here]
        found = own or by_stem
        if len(found) > 1:
            listed = "' and '".join(path.name for path in found)
            problems.append(f"image '{image.name}' has two region files, '{listed}'; keep one of them")
        elif found:
            result[image] = found[0]
            claims[found[0]].append(image)
    for path, images in claims.items():
        if len(images) > 1:
            listed = "' and '".join(image.name for image in images)
            problems.append(
                f"'{path.name}' could belong to '{listed}'; rename it to '{images[0].name}.geojson'"
            )
    if problems:
        raise RegionFileError("Ambiguous region files:\n  " + "\n  ".join(problems))
    return result


def _geojson_files(folder: Path) -> dict[str, Path]:
    """Return {NFC name with its extension in lower case: path} of a folder's region files."""
    found = {}
    for path in sorted(folder.iterdir()):
        name = nfc(path.name)
        # The longest ending first; only endings are lowered, as the stem must match the image name exactly.
        for ending in (".roi.geojson.gz", ".geojson.gz", ".roi.geojson", ".geojson"):
            if name.casefold().endswith(ending) and not name.startswith(".") and path.is_file():
                found[name[: -len(ending)] + ending] = path
                break
    return found


def _region_names(stem: str) -> list[str]:
    return [stem + suffix + packed for suffix in _REGION_SUFFIXES for packed in ("", ".gz")]


def _stems(name: str) -> list[str]:
    """Return an image's name without its extension: ``a`` and ``a.ome`` for ``a.ome.tif``."""
    name = nfc(name)
    suffix = _image_suffix(name) or ""
    stem = name[: len(name) - len(suffix)]
    return [stem, name.rpartition(".")[0]] if suffix.startswith(".ome.") else [stem]


def _select(files: list[Path], names: Sequence[str], folder: Path) -> list[Path]:
    wanted = [nfc(name) for name in names]
    selected: list[Path] = []
    for name in wanted:
        found = [path for path in files if name in (nfc(path.name), nfc(path.relative_to(folder).as_posix()))]
        # Full names first: they are unambiguous, whereas a stem selects every image that has it.
        found = found or [path for path in files if name in _stems(path.name)]
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
