"""TIFF tags: pixel size, and sanity of the tile tables."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tifffile

from qupath_her2.slides.readers.limits import check_ome_planes, check_page_chain, check_tile
from qupath_her2.slides.readers.ome_xml import pixels_element
from qupath_her2.slides.readers.pixel_size import IMAGEJ_UNIT_UM, tagged_pixel_size_um, usable_pixel_size_um

__all__ = ["check_tiff_tiles", "is_tiff", "open_tiff", "tiff_pixel_size_um"]

#: Classic TIFF (42) and BigTIFF (43), each in both byte orders.
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

#: TIFF 6.0, tag ResolutionUnit: 2 is inch, 3 centimetre.
_UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0}
#: Units of PhysicalSize in OME-XML (2016-06); µm if none is given.
_UM_PER_OME_UNIT = {
    # The micro sign and the Greek letter mu: writers use either.
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25_400.0,
}

_Size: TypeAlias = tuple[float | None, float | None]


def is_tiff(path: Path) -> bool:
    """Return whether a file starts as classic TIFF or BigTIFF; OSError if it cannot be opened."""
    with path.open("rb") as stream:
        return stream.read(4) in _TIFF_MAGIC


# What tifffile finds odd in a damaged header is said once, by our own error; programs that set up logging still get it.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@contextmanager
def open_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file with tifffile such that a damaged header leaves no file open and prints no NumPy warning.

    LimitError if the list of its images loops or is too long.
    """
    # If a damaged header makes tifffile fail, it does not close a stream that it opened itself; and it subtracts tag
    # values without checking them, which overflows.
    with path.open("rb") as stream, np.errstate(over="ignore"), tifffile.TiffFile(stream) as tiff:
        check_page_chain(tiff)
        if tiff.is_ome:
            check_ome_planes(tiff.ome_metadata or "")
        yield tiff


def check_tiff_tiles(path: Path) -> None:
    """Raise ValueError if a tile is impossibly large or the tile tables are incomplete.

    OpenSlide trusts these tags: a damaged tile size makes it allocate gigabytes and abort the whole process.
    """
    with open_tiff(path) as tiff:
        for index in range(len(tiff.pages)):
            page: Any = tiff.pages[index]
            page = page.aspage() if isinstance(page, tifffile.TiffFrame) else page
            if not page.is_tiled:
                continue
            width, height = page.tilewidth, page.tilelength
            check_tile(width, height, index)
            expected = -(-page.imagewidth // width) * -(-page.imagelength // height)
            if len(page.dataoffsets) < expected or len(page.databytecounts) < expected:
                raise ValueError(
                    f"its header is damaged: {len(page.dataoffsets)} of {expected} tiles in image {index}"
                )


def tiff_pixel_size_um(tiff: tifffile.TiffFile, page: Any = None, picture: int = 0) -> _Size:
    """Return width and height of a pixel in µm, each None if the file does not state it.

    The sources and their order are those of `slides.readers.pixel_size`. Implausible values and print resolutions
    become None.

    Parameters
    ----------
    tiff
        The open file.
    page
        tifffile's page of the picture; None takes the first.
    picture
        Number of the picture in the OME-XML, from 0.

    Returns
    -------
    tuple[float | None, float | None]
        Width and height, µm.
    """
    page = tiff.pages[0] if page is None else page
    description = page.description or ""
    if tiff.is_svs:
        found = re.search(r"\|\s*MPP\s*=\s*([^|\s]+)", description)
        size = usable_pixel_size_um(found.group(1)) if found else None
        return size, size
    if tiff.is_ome:
        size_x, size_y = _ome_size_um(tiff.ome_metadata or "", picture)
        if size_x and size_y:
            return size_x, size_y
    unit = (tiff.imagej_metadata or {}).get("unit") if tiff.is_imagej else None
    if unit is not None:
        factor = IMAGEJ_UNIT_UM.get(str(unit).strip().casefold())
        return tuple(_pixels_per_unit_um(page, f"{axis}Resolution", factor) for axis in "XY")  # type: ignore[return-value]
    return _resolution_um(page, "XResolution"), _resolution_um(page, "YResolution")


def _ome_size_um(xml: str, picture: int) -> _Size:
    pixels = pixels_element(xml, picture)
    if pixels is None:
        return None, None
    found = []
    for axis in "XY":
        factor = _UM_PER_OME_UNIT.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        value = usable_pixel_size_um(_scaled(pixels.get(f"PhysicalSize{axis}"), factor))
        found.append(value)
    return found[0], found[1]


def _scaled(text: str | None, factor: float | None) -> float | None:
    try:
        return float(text) * factor if text is not None and factor is not None else None
    except ValueError:
        return None


def _resolution_um(page: Any, tag: str) -> float | None:
    unit = page.tags.get("ResolutionUnit")
    # Baseline TIFF defaults to inches, but writers that omit the unit do not mean a physical size.
    factor = None if unit is None else _UM_PER_RESOLUTION_UNIT.get(int(unit.value))
    size = _pixels_per_unit_um(page, tag, factor)
    return None if size is None else tagged_pixel_size_um(size)


def _pixels_per_unit_um(page: Any, tag: str, um_per_unit: float | None) -> float | None:
    """Return the pixel size of a resolution tag in pixels per unit, µm; None without tag or unit."""
    value = page.tags.get(tag)
    if value is None or um_per_unit is None:
        return None
    try:
        numerator, denominator = value.value
        return usable_pixel_size_um(um_per_unit * denominator / numerator)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
