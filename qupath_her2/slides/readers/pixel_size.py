"""Pixel sizes as files state them: one rule for all readers.

Sources, each of which wins over those below it:

1. Aperio's ``MPP``, with a decimal point or comma, as OpenSlide reads it
2. OME-XML ``PhysicalSizeX/Y`` with its unit
3. ImageJ's resolution tags, in the unit of its description
4. resolution tags in centimetres or inches, unless they are a print resolution such as 300 dpi, as in QuPath

The user's value and QuPath's win over the file's, see `runs.inputs`.
"""

from __future__ import annotations

import math

__all__ = ["IMAGEJ_UNIT_UM", "tagged_pixel_size_um", "usable_pixel_size_um"]

#: No light microscope image has finer or coarser pixels.
_MIN_PIXEL_SIZE_UM, _MAX_PIXEL_SIZE_UM = 0.01, 100.0
#: Resolution tags of a coarser pixel are those of a printer: 300 dpi is 85 µm, 2,400 dpi is 11 µm. Scans for which
#: HER2 can be assessed have 0.55 µm or less.
_MAX_TAGGED_UM = 10.0

#: Units that ImageJ writes, in µm.
IMAGEJ_UNIT_UM = {
    "micron": 1.0,
    "microns": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
}


def usable_pixel_size_um(value: object) -> float | None:
    """Return a pixel size in µm, or None if it is implausible: not a number, below 0.01 or over 100 µm.

    Parameters
    ----------
    value
        Number or text as found in a file; a comma may stand for the decimal point.

    Returns
    -------
    float | None
        The pixel size, µm.
    """
    if isinstance(value, str) and value.count(",") == 1 and "." not in value:
        value = value.replace(",", ".")
    try:
        size = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return size if math.isfinite(size) and _MIN_PIXEL_SIZE_UM <= size <= _MAX_PIXEL_SIZE_UM else None


def tagged_pixel_size_um(size_um: float) -> float | None:
    """Return a pixel size from plain resolution tags, µm; None if implausible or a print resolution."""
    usable = usable_pixel_size_um(size_um)
    return usable if usable is not None and usable <= _MAX_TAGGED_UM else None
