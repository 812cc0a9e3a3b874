"""The pixel size that a TIFF file states."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import tifffile

from qupath_her2.slides.base import usable_pixel_size_um

__all__ = ["tiff_pixel_size_um"]

_UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0}
#: Units of PhysicalSize in OME-XML (2016-06); µm where none is given.
_UM_PER_OME_UNIT = {
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25_400.0,
}

_Size = tuple[float | None, float | None]


def tiff_pixel_size_um(tiff: tifffile.TiffFile) -> _Size:
    """Return width and height of a pixel in µm, or None for each that the file does not state.

    In this order: Aperio's ``MPP``, OME-XML ``PhysicalSizeX/Y``, resolution tags in centimetres or inches (as
    QuPath reads them; a unit of "none" says nothing). Values no microscope has, such as those of 72 dpi, are
    None.
    """
    page: Any = tiff.pages[0]
    description = page.description or ""
    if tiff.is_svs:
        found = re.search(r"\|\s*MPP\s*=\s*([^|\s]+)", description)
        size = usable_pixel_size_um(found.group(1)) if found else None
        return size, size
    if tiff.is_ome:
        size_x, size_y = _ome_size_um(tiff.ome_metadata or "")
        if size_x and size_y:
            return size_x, size_y
    return _resolution_um(page, "XResolution"), _resolution_um(page, "YResolution")


def _ome_size_um(xml: str) -> _Size:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None, None
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
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
    value = page.tags.get(tag)
    # Baseline TIFF takes inches where the unit is not given, but writers that leave it out mean nothing by
    # it.
    if unit is None or value is None or int(unit.value) not in _UM_PER_RESOLUTION_UNIT:
        return None
    try:
        numerator, denominator = value.value
        return usable_pixel_size_um(_UM_PER_RESOLUTION_UNIT[int(unit.value)] * denominator / numerator)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
