"""Parser for the colour deconvolution stains that QuPath stores with an image."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.vectors import StainVectors, Vector

__all__ = ["parse_qupath_stains"]

_HAEMATOXYLIN_NAMES = frozenset({"haematoxylin", "hematoxylin", "haem", "h"})
_DAB_NAMES = frozenset({"dab", "d"})


def parse_qupath_stains(value: str | Mapping[str, Any]) -> StainVectors:
    """Parse QuPath's colour deconvolution stains.

    Parameters
    ----------
    value
        JSON text as written by ``ColorDeconvolutionStains.getColorDeconvolutionStainsAsString``, or the same as a
        mapping: ``Stain 1``, ``Values 1``, ``Stain 2``, ``Values 2`` and optionally ``Values 3`` and ``Background``.
        Values are numbers separated by spaces, or lists of numbers; the two stains may come in either order.

    Returns
    -------
    StainVectors
        Haematoxylin, DAB, background, and QuPath's third stain as residual if there is one.

    Raises
    ------
    SettingsError
        If the text has another format, or the stains are not haematoxylin and DAB (for example in an H&E image).
    """
    fields = _as_mapping(value)
    # Told apart by name, not by position: QuPath lets people list DAB first, and name either stain as they like.
    found: dict[str, Vector] = {}
    for number in ("1", "2"):
        name = str(fields.get(f"Stain {number}", "")).strip().lower()
        key = "h" if name in _HAEMATOXYLIN_NAMES else "dab" if name in _DAB_NAMES else None
        if key is None:
            raise SettingsError(
                f"QuPath's stain {number} is {fields.get(f'Stain {number}')!r}, not haematoxylin or DAB. "
                "Set the image type to Brightfield (H-DAB) in QuPath (Image tab → Image type)."
            )
        found[key] = _triple(fields, f"Values {number}")
    if len(found) != 2:
        raise SettingsError(
            "QuPath's two stains have the same name. Name one Hematoxylin and the other DAB (Image tab → stains)."
        )
    third = _triple(fields, "Values 3") if fields.get("Values 3") else None
    background = _triple(fields, "Background") if "Background" in fields else (255.0, 255.0, 255.0)
    return StainVectors(found["h"], found["dab"], background, "QuPath", third)


def _as_mapping(value: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    try:
        fields = json.loads(value)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise SettingsError(
            f"Stains {str(value)[:80]!r} are not in QuPath's JSON format. Copy them from QuPath's workflow step "
            '"Set color deconvolution stains".'
        )
    return fields


def _triple(fields: Mapping[str, Any], key: str) -> Vector:
    # QuPath writes "0.65 0.70 0.29"; people who edit the text by hand add commas.
    raw = fields.get(key)
    parts = re.split(r"[\s,;]+", raw.strip()) if isinstance(raw, str) else raw
    try:
        red, green, blue = (float(v) for v in cast("list[Any]", parts))
    except (TypeError, ValueError):
        raise SettingsError(
            f"QuPath's stains: {key!r} is {raw!r}, not three numbers. "
            "Set the stains again in QuPath (Image tab → stains)."
        ) from None
    return (red, green, blue)
