"""DICOM slides: which files of a folder make up one slide, and which of them stands for it.

A whole slide image in DICOM is a series of files with one SeriesInstanceUID: a file per pyramid level, and pictures of
the label and the whole glass (PS3.3, A.32.8). OpenSlide opens the slide through any of them. The file of the finest
level stands for the slide here: its content makes the image's fingerprint.
"""

from __future__ import annotations

import struct
import warnings
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DicomSlides", "is_dicom", "find_dicom_slides"]

#: Length of the preamble, after which each DICOM file has these four letters (PS3.10, 7.1).
_PREAMBLE, _MAGIC = 128, b"DICM"
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
#: Index of the files on a medium; there is nothing in it to read.
_DICOMDIR = "1.2.840.10008.1.3.10"
_TAGS = ("SOPClassUID", "ImageType", "SeriesInstanceUID", "TotalPixelMatrixColumns")
#: Tag TotalPixelMatrixColumns. Behind it come the positions of all tiles, which may take many MB.
_LAST_TAG = 0x00480006
#: Raised by pydicom on damaged files, because it reads lengths and nesting from the file.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class DicomSlides:
    """The slides among some DICOM files.

    Attributes
    ----------
    slides
        For each slide the file of its finest level, sorted.
    unread
        {file: why it belongs to no slide}.
    """

    slides: tuple[Path, ...]
    unread: dict[Path, str]


@dataclass(frozen=True, slots=True)
class _Header:
    path: Path
    kind: str
    series: str
    is_volume: bool
    width_px: int


def is_dicom(path: Path) -> bool:
    """Return whether a file starts as DICOM; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except OSError:
        return False


def find_dicom_slides(paths: Iterable[Path]) -> DicomSlides:
    """Group DICOM files into slides; only headers are read.

    Parameters
    ----------
    paths
        Files of one folder, slides or not.

    Returns
    -------
    DicomSlides
        One file per slide, and the files that belong to none.
    """
    series: dict[tuple[Path, str], list[_Header]] = defaultdict(list)
    unread: dict[Path, str] = {}
    for path in paths:
        header = _read_header(path)
        if header is None:
            unread[path] = "damaged, or not DICOM"
        elif header.kind == _WHOLE_SLIDE:
            series[path.parent, header.series].append(header)
        elif header.kind != _DICOMDIR:
            unread[path] = f"{_kind_name(header.kind)}, not a whole slide image"
    slides = []
    for headers in series.values():
        levels = [header for header in headers if header.is_volume]
        if levels:
            slides.append(min(levels, key=lambda header: (-header.width_px, header.path.name)).path)
        else:
            unread |= {header.path: "a label or overview, without its slide" for header in headers}
    return DicomSlides(tuple(sorted(slides)), unread)


def _read_header(path: Path) -> _Header | None:
    """Return what tells slides apart; None for files that are not DICOM or damaged."""
    # Only here, as it takes a third of a second and few folders hold DICOM.
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    try:
        # Values that break a rule of DICOM but can be read are no concern of the user's.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            data = read_partial(
                file,
                stop_when=lambda tag, vr, length: tag > _LAST_TAG,
                specific_tags=[Tag(name) for name in _TAGS],
            )
            image_type = data.get("ImageType") or ()
            kinds = [image_type] if isinstance(image_type, str) else [str(part) for part in image_type]
            return _Header(
                path,
                str(data.get("SOPClassUID", "")),
                str(data.get("SeriesInstanceUID", "")),
                "VOLUME" in kinds,
                int(data.get("TotalPixelMatrixColumns") or 0),
            )
    except (InvalidDicomError, *_DAMAGE):
        return None


def _kind_name(uid: str) -> str:
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    # Of a UID that breaks the rules the name is the UID itself.
    return repr(UID(uid, validation_mode=IGNORE).name[:80]).strip("'") if uid else "of no stated kind"
