"""The scanner of an image, as its file names it: thresholds on colour hold for one scanner and not for another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import openslide

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["scanner_name", "stated_properties"]

#: Properties that name a device or its model, in the words of each vendor; the most particular first.
_PROPERTIES = (
    "aperio.ScanScope ID",
    "hamamatsu.Product",
    "leica.device-model",
    "mirax.NONHIERLAYER_0_SECTION.SCANNER_HARDWARE_ID",
    "philips.DICOM_MANUFACTURERS_MODEL_NAME",
    "trestle.Software",
    "ventana.ScannerModel",
    "zeiss.Information.Instrument.Microscopes.Microscope.Name",
    "dicom.ManufacturerModelName",
    "tiff.Model",
)
#: Formats of any origin, whose names say nothing about a scanner.
_ANY_ORIGIN = frozenset({"generic-tiff", ""})


def scanner_name(path: Path) -> str:
    """Return the scanner that a file names, e.g. ``aperio SS1302``; "" where it names none.

    Parameters
    ----------
    path
        An image.

    Returns
    -------
    str
        Vendor of the format, and device or model where stated. Flat images and exported TIFFs name none.
    """
    return _name(stated_properties(path))


def stated_properties(path: Path) -> Mapping[str, str]:
    """Return the properties that OpenSlide finds in a file, by name; empty where it cannot open it."""
    try:
        with openslide.OpenSlide(path) as slide:
            return dict(slide.properties)
    except (openslide.OpenSlideError, OSError):
        # Not a format of OpenSlide: whoever reads its pixels says what is wrong with it.
        return {}


def _name(properties: Mapping[str, str]) -> str:
    vendor = properties.get("openslide.vendor", "")
    device = next((properties[key].strip() for key in _PROPERTIES if properties.get(key, "").strip()), "")
    known = "" if vendor in _ANY_ORIGIN else vendor
    return " ".join(part for part in (known, device) if part)
