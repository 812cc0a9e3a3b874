"""The stains that QuPath keeps with an image, read from its own text."""

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
    """Read QuPath's colour deconvolution stains.

    Parameters
    ----------
    value
        What ``ColorDeconvolutionStains.getColorDeconvolutionStainsAsString`` writes (JSON text), or the
        same as a mapping: ``Stain 1``, ``Values 1``, ``Stain 2``, ``Values 2``, optionally ``Values 3``,
        ``Background``. Values are text with spaces or lists of numbers; the stains stand in either order.

    Raises
    ------
    SettingsError
        When it is not such text, or when the stains are not haematoxylin and DAB (an H&E image, say).
    """
    fields = _as_mapping(value)
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
        raise SettingsError("QuPath's two stains have the same name; name one Hematoxylin and the other DAB.")
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
            f"Stains {str(value)[:80]!r} are not QuPath's JSON. Copy them from QuPath's workflow step "
            '"Set color deconvolution stains".'
        )
    return fields


def _triple(fields: Mapping[str, Any], key: str) -> Vector:
    raw = fields.get(key)
    parts = re.split(r"[\s,;]+", raw.strip()) if isinstance(raw, str) else raw
    try:
        red, green, blue = (float(v) for v in cast("list[Any]", parts))
    except (TypeError, ValueError):
        raise SettingsError(f"QuPath's stains: {key!r} is {raw!r}, not three numbers.") from None
    return (red, green, blue)
