"""Parser for the colour deconvolution stains that QuPath stores with an image."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, Vector

__all__ = ["chosen_stains", "parse_qupath_stains"]

_HAEMATOXYLIN_NAMES = frozenset({"haematoxylin", "hematoxylin", "haem", "h"})
_DAB_NAMES = frozenset({"dab", "d"})
#: QuPath writes five decimal places.
_SAME_VECTOR = 1e-3


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


def chosen_stains(value: str | Mapping[str, Any] | None) -> StainVectors | None:
    """Return the stain vectors that somebody set for an image in QuPath.

    Parameters
    ----------
    value
        As of `parse_qupath_stains`; None where QuPath states no stains.

    Returns
    -------
    StainVectors or None
        None for the vectors and the white background that QuPath gives to every image of type H-DAB.

    Raises
    ------
    SettingsError
        As by `parse_qupath_stains`.
    """
    if value is None:
        return None
    stains = parse_qupath_stains(value)
    # The image type alone says nothing of the stain: on slides stained otherwise, QuPath's defaults lose faint cells.
    plain = QUPATH_H_DAB
    pairs = ((stains.hematoxylin, plain.hematoxylin), (stains.dab, plain.dab))
    is_default = (
        stains.residual is None
        and stains.background_rgb == plain.background_rgb
        and all(abs(a - b) < _SAME_VECTOR for one, other in pairs for a, b in zip(one, other, strict=True))
    )
    return None if is_default else stains


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
