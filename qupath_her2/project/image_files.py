"""Image files of a folder: what is read, what is left out and why.

Files are told apart by their endings; of the endings that are not read OpenSlide is asked too, since its newer versions
may read them. Hidden files, system files and the companion files of slides are no images.
"""

from __future__ import annotations

import configparser
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qupath_her2.errors import ImageReadError
from qupath_her2.project.dicom_series import find_dicom_slides, is_dicom
from qupath_her2.project.visible_text import visible_name

__all__ = [
    "IMAGE_SUFFIXES",
    "OUTPUT_NAME",
    "ImageFiles",
    "dicom_folder",
    "find_image_files",
    "image_stems",
    "image_suffix",
    "nfc",
    "quoted_names",
]

#: Name of the exchange folder inside a project or an image folder.
OUTPUT_NAME = "her2"
#: Extensions of image files; ``.ome.tif`` before ``.tif``, because the first match is cut off to get the stem.
IMAGE_SUFFIXES = (
    ".ome.tiff",
    ".ome.tif",
    ".ome.btf",
    ".ome.tf2",
    ".ome.tf8",
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".tif",
    ".tiff",
    ".btf",
    ".tf2",
    ".tf8",
    ".qptiff",
    ".svs",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".bif",
    ".vms",
    ".vmu",
    ".svslide",
    ".dcm",
)
_DICOM = ".dcm"

_BY_QUPATH = (
    "export to OME-TIFF from QuPath (File → Export images → OME TIFF) or with bfconvert, or add to a QuPath project "
    "and run qupath-her2 pull PROJECT --pixels"
)
_BY_MAKER = "export to TIFF, SVS or DICOM with the scanner maker's own program"
_AS_PNG = "save as PNG or TIFF"
_UNPACK = "unpack the archive"
#: {ending: (format, way out)} of images that are not read.
_UNREAD_FORMATS = {
    ".czi": ("Zeiss CZI", _BY_QUPATH),
    ".zvi": ("Zeiss ZVI", _BY_QUPATH),
    ".lsm": ("Zeiss LSM", _BY_QUPATH),
    ".vsi": ("Olympus/Evident VSI", _BY_QUPATH),
    ".oir": ("Olympus/Evident OIR", _BY_QUPATH),
    ".lif": ("Leica LIF", _BY_QUPATH),
    ".lof": ("Leica LOF", _BY_QUPATH),
    ".xlef": ("Leica XLEF", _BY_QUPATH),
    ".nd2": ("Nikon ND2", _BY_QUPATH),
    ".ims": ("Imaris IMS", _BY_QUPATH),
    ".afi": ("Aperio fluorescence AFI", _BY_QUPATH),
    ".ndpis": ("Hamamatsu fluorescence NDPIS", _BY_QUPATH),
    ".jp2": ("JPEG 2000", _BY_QUPATH),
    ".j2k": ("JPEG 2000", _BY_QUPATH),
    ".zarr": ("OME-Zarr", _BY_QUPATH),
    ".isyntax": ("Philips iSyntax", _BY_MAKER),
    ".i2syntax": ("Philips iSyntax", _BY_MAKER),
    ".mds": ("Motic MDS", _BY_MAKER),
    ".mdsx": ("Motic MDS", _BY_MAKER),
    ".kfb": ("KFBio KFB", _BY_MAKER),
    ".sdpc": ("Sqray SDPC", _BY_MAKER),
    ".tmap": ("UNIC TMAP", _BY_MAKER),
    ".dpt": ("DPT", _BY_MAKER),
    ".eslide": ("eSlide", _BY_MAKER),
    ".szi": ("SZI archive", _UNPACK),
    ".gif": ("GIF", _AS_PNG),
    ".webp": ("WebP", _AS_PNG),
    ".heic": ("HEIC", _AS_PNG),
    ".avif": ("AVIF", _AS_PNG),
    ".psd": ("Photoshop", _AS_PNG),
}
#: DICOM files are often named without an ending, or by a UID, whose last number looks like one.
_NO_ENDING = re.compile(r"(\.\d+)?")
_LISTED = 3


@dataclass(slots=True)
class ImageFiles:
    """The images of a folder, and the image files in it that are not read.

    Attributes
    ----------
    images
        Sorted by name.
    unread
        {(what they are, way out): files}.
    searched
        Folders that have been searched, without links: one that leads to a folder above it would be searched for ever.
    """

    images: list[Path] = field(default_factory=list)
    unread: dict[tuple[str, str], list[Path]] = field(default_factory=lambda: defaultdict(list))
    searched: set[str] = field(default_factory=set)

    def sentences(self) -> list[str]:
        """Return a sentence for each kind of files that are not read: how many, which, why, and the way out."""
        return [
            f"Not read: {quoted_names(path.name for path in paths)} ({what}). {way_out[:1].upper()}{way_out[1:]}."
            for (what, way_out), paths in sorted(self.unread.items())
        ]


def quoted_names(names: Iterable[str]) -> str:
    """Return names in quotes, e.g. ``'a.czi', 'b.czi', 'c.czi' and 4 more``."""
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(f"'{visible_name(name)}'" for name in every[:_LISTED]) + more


def find_image_files(folder: Path, her2: Path, *, recursive: bool = False) -> ImageFiles:
    """Return the images of a folder, and what looks like an image but is not read.

    Parameters
    ----------
    folder
        The folder. Of its sub-folders those of DICOM files are searched, as each holds a slide.
    her2
        The exchange folder, which is never searched.
    recursive
        Search all sub-folders.

    Returns
    -------
    ImageFiles
        The images sorted by name, those of sub-folders last.

    Raises
    ------
    ImageReadError
        A folder cannot be read.
    """
    found = ImageFiles()
    _search(folder, her2, found, recursive=recursive, only_dicom=False)
    return found


def nfc(text: str) -> str:
    """Return text in composed Unicode (NFC); macOS stores file names decomposed."""
    return unicodedata.normalize("NFC", text)


def image_suffix(name: str) -> str | None:
    """Return the image ending of a file name in lower case, with its dot; None if it has none."""
    lowered = name.casefold()
    return next((suffix for suffix in IMAGE_SUFFIXES if lowered.endswith(suffix) and lowered != suffix), None)


def image_stems(name: str) -> list[str]:
    """Return an image's name without its extension: ``a`` and ``a.ome`` for ``a.ome.tif``."""
    name = nfc(name)
    other = Path(name).suffix
    suffix = image_suffix(name) or (other if other.casefold() in _UNREAD_FORMATS else "")
    stem = name[: len(name) - len(suffix)]
    return [stem, name.rpartition(".")[0]] if suffix.startswith(".ome.") else [stem]


def dicom_folder(image: Path, folder: Path) -> Path | None:
    """Return the sub-folder of `folder` that a DICOM slide has for itself; None for any other image."""
    is_own = image.parent != folder and (
        image.suffix.casefold() == _DICOM or image_suffix(image.name) is None
    )
    return image.parent if is_own else None


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: nfc(entry.name))
    except OSError as error:
        raise ImageReadError(f"Folder '{folder}' cannot be read: {error.strerror or error}.") from error
    # Hidden files include the "._name" resource forks that macOS leaves on network drives.
    return [entry for entry in entries if not entry.name.startswith(".")]


def _search(folder: Path, her2: Path, found: ImageFiles, *, recursive: bool, only_dicom: bool) -> None:
    real = os.path.realpath(folder)
    if real in found.searched:
        return
    found.searched.add(real)
    entries = _scan(folder)
    # Path.is_file, since that of the entry fails on links that lead in a circle.
    files = [entry for entry in entries if Path(entry.path).is_file()]
    tiles = {
        tile
        for entry in files
        if entry.name.casefold().endswith((".vms", ".vmu"))
        for tile in _hamamatsu_tiles(entry.path)
    }
    images, dicom = [], []
    for entry in files:
        path, suffix = Path(entry.path), image_suffix(entry.name)
        if suffix == _DICOM or (suffix is None and _NO_ENDING.fullmatch(path.suffix) and is_dicom(path)):
            dicom.append(path)
        elif only_dicom or entry.name in tiles:
            continue
        elif suffix is not None or _is_other_image(path, found):
            images.append(path)
    slides = find_dicom_slides(dicom)
    for path in sorted((*images, *slides.slides), key=lambda path: nfc(path.name)):
        # JSON, and with it every result, can only name files that are Unicode.
        if not any("\ud800" <= one <= "\udfff" for one in path.name):
            found.images.append(path)
        else:
            found.unread["a name that is not UTF-8", "rename, and its region file with it"].append(path)
    for path, why in slides.unread.items():
        found.unread[f"DICOM: {why}", "export the slide again, with all files of its series"].append(path)
    if only_dicom:
        return
    _add_broken_links(entries, found)
    # A MIRAX slide keeps its pixels in a folder of the same name.
    mrxs = {entry.name[:-5] for entry in files if entry.name.casefold().endswith(".mrxs")}
    for entry in entries:
        path = Path(entry.path)
        if not path.is_dir() or entry.name in mrxs or entry.name == OUTPUT_NAME or path == her2:
            continue
        if path.suffix.casefold() == ".zarr":
            _is_other_image(path, found)
        elif recursive or _is_dicom_folder(path):
            _search(path, her2, found, recursive=recursive, only_dicom=not recursive)


def _is_other_image(path: Path, found: ImageFiles) -> bool:
    """Return whether OpenSlide opens a file of an ending that is not ours; else it is filed under its reason."""
    known = _UNREAD_FORMATS.get(path.suffix.casefold())
    if known is None:
        return False
    if path.is_file() and _openslide_reads(path):
        return True
    what, way_out = known
    found.unread[what, way_out].append(path)
    return False


def _openslide_reads(path: Path) -> bool:
    import openslide

    # Not the ending but the library decides: versions after 4.0 read more formats.
    return openslide.OpenSlide.detect_format(str(path)) is not None


def _add_broken_links(entries: Iterable[os.DirEntry[str]], found: ImageFiles) -> None:
    for entry in entries:
        if image_suffix(entry.name) and entry.is_symlink() and not Path(entry.path).exists():
            key = (
                "links to a file that is not there",
                "connect the drive that they point to, or link the images again",
            )
            found.unread[key].append(Path(entry.path))


def _is_dicom_folder(folder: Path) -> bool:
    """Return whether a folder is one of DICOM files, judged by its names and, without endings, by its first file."""
    names: Iterator[os.DirEntry[str]] = iter(())
    try:
        names = os.scandir(folder)
        first = None
        with names:
            for entry in names:
                if entry.name.startswith(".") or not Path(entry.path).is_file():
                    continue
                if entry.name.casefold().endswith(_DICOM):
                    return True
                first = first or Path(entry.path)
    except OSError:
        # A sub-folder that may not be read was not asked for.
        return False
    return first is not None and bool(_NO_ENDING.fullmatch(first.suffix)) and is_dicom(first)


def _hamamatsu_tiles(path: str) -> set[str]:
    """Return the names of the JPEG files listed in a Hamamatsu VMS or VMU index."""
    index = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        index.read(path, encoding="latin-1")
    except configparser.Error:
        # The slide reader reports this slide later; a damaged index must not stop the other images.
        return set()
    return {value for section in index.values() for value in section.values() if value}
