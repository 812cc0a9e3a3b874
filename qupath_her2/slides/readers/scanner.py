"""The scanner of an image, as its file names it: thresholds on colour hold for one scanner and not for another."""

from __future__ import annotations

import contextlib
import datetime
import re
from pathlib import Path
from typing import TYPE_CHECKING

import openslide

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["scan_date", "scanner_name", "scanner_of", "stated_properties"]

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
#: Properties that hold the date of the scan, in the words of each vendor.
_DATES = (
    "aperio.Date",
    "hamamatsu.Created",
    "leica.creation-date",
    "mirax.GENERAL.SLIDE_CREATIONDATETIME",
    "philips.DICOM_ACQUISITION_DATETIME",
    "ventana.ScanDate",
    "dicom.AcquisitionDateTime",
    "dicom.ContentDate",
    "tiff.DateTime",
)
_YEAR_FIRST = re.compile(r"(?P<y>(?:19|20)\d\d)[-/:.]?(?P<m>\d\d)[-/:.]?(?P<d>\d\d)")
#: Aperio's order: month, day, year of two or four digits.
_MONTH_FIRST = re.compile(r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>(?:19|20)?\d\d)")
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
    return scanner_of(stated_properties(path))


def scan_date(properties: Mapping[str, str]) -> str:
    """Return the date of the scan as ``2026-11-30``, from a file's properties; "" where none of them holds a date."""
    for text in (properties[key] for key in _DATES if properties.get(key)):
        match = _YEAR_FIRST.search(text) or _MONTH_FIRST.search(text)
        if match is None:
            continue
        year, month, day = (int(match[part]) for part in "ymd")
        with contextlib.suppress(ValueError):
            return datetime.date(year + 2000 * (year < 100), month, day).isoformat()
    return ""


def stated_properties(path: Path) -> Mapping[str, str]:
    """Return the properties that OpenSlide finds in a file, by name; empty where it cannot open it."""
    try:
        with openslide.OpenSlide(path) as slide:
            return dict(slide.properties)
    except (openslide.OpenSlideError, OSError):
        # Not a format of OpenSlide: whoever reads its pixels says what is wrong with it.
        return {}


def scanner_of(properties: Mapping[str, str]) -> str:
    """Return the scanner that a file's properties name, see `scanner_name`."""
    vendor = properties.get("openslide.vendor", "")
    device = next((properties[key].strip() for key in _PROPERTIES if properties.get(key, "").strip()), "")
    known = "" if vendor in _ANY_ORIGIN else vendor
    return " ".join(part for part in (known, device) if part)
