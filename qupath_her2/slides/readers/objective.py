"""Objective power that a file states: a hint for people where the pixel size is missing, never a scale."""

from __future__ import annotations

import re
from pathlib import Path

import tifffile

from qupath_her2.slides.readers.pixel_size import usable_pixel_size_um
from qupath_her2.slides.readers.scanner import stated_properties

__all__ = ["objective_hint", "objective_power"]

_PROPERTIES = ("openslide.objective-power", "aperio.AppMag", "hamamatsu.SourceLens")
#: As Aperio's description and OME-XML state it.
_IN_DESCRIPTION = re.compile(r"""AppMag\s*=\s*([\d.,]+)|NominalMagnification\s*=\s*["']([\d.,]+)["']""")
#: µm per pixel times power: 20x scanners have about 0.5 µm, 40x scanners 0.25.
_UM_TIMES_POWER = 10.0
_MAX_POWER = 150.0


def objective_power(path: Path) -> float | None:
    """Return the power of the objective that a file states, or None.

    Parameters
    ----------
    path
        An image.

    Returns
    -------
    float | None
        For example 20.0; None if the file states none, or cannot be read.
    """
    # A plain TIFF that OpenSlide does not open may still describe its objective.
    stated = _property(path) or _described_power(path)
    # The same reading of numbers as for pixel sizes: decimal commas occur here too.
    power = usable_pixel_size_um(stated)
    return power if power is not None and 1 <= power <= _MAX_POWER else None


def objective_hint(path: Path) -> str:
    """Return a sentence part on the pixel size that the stated objective suggests; "" without one."""
    power = objective_power(path)
    if power is None:
        return ""
    return f" (its file states a {power:g}x objective, which usually means about {_UM_TIMES_POWER / power:.2g} µm)"


def _property(path: Path) -> str | None:
    known = stated_properties(path)
    return next((known[key] for key in _PROPERTIES if key in known), None)


def _described_power(path: Path) -> str | None:
    try:
        with tifffile.TiffFile(path) as tiff:
            found = _IN_DESCRIPTION.search(tiff.pages.first.description or "")
    except (OSError, ValueError, IndexError, tifffile.TiffFileError):
        # The hint is optional; what is wrong with the file is said where it is read.
        return None
    return None if found is None else found[1] or found[2]
