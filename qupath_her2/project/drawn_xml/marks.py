"""Marks drawn in other annotation programs, as the features that `project.geojson.regions` sorts.

A mark becomes a GeoJSON feature, so that outlines are checked, repaired, clipped and set aside by the same rules, and
class names have the same roles, whatever program drew them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid5

from shapely import MultiPolygon, Polygon

from qupath_her2.project.class_names import ClassNames, class_role, grade_of
from qupath_her2.project.geojson.features import Feature
from qupath_her2.project.geojson.geometry import Frame
from qupath_her2.project.geojson.regions import FeatureOrigin, RegionFile, parse_regions
from qupath_her2.provenance import canonical_geometry

__all__ = ["Mark", "decimal", "ellipse", "regions_of_marks", "without_area"]

#: Namespace of the regions' UUIDs. It must never change: patches and results refer to regions by UUID.
_NAMESPACE = UUID("0d2f7f3e-6f0e-5b5b-8a51-7d0f6c6c2b7e")
#: Vertices of a circle or ellipse; the polygon's area is 0.04 % smaller.
_ELLIPSE_VERTICES = 128
#: Numbers after a class, as in "Tumor 2", "tumour #3" and "Tumor (1)".
_NUMBERED = re.compile(r"[\s_#(.:-]*\d+\)?$")
_MAX_LABEL = 200


@dataclass(slots=True)
class Mark:
    """One mark of an annotation file.

    Attributes
    ----------
    id
        How its program calls it, for messages.
    labels
        Texts that may name its class, the most specific first.
    layer
        Name of its layer or group.
    is_negative
        It subtracts from what it lies in.
    xy
        Vertices, level-0 px; not closed.
    problem
        Why it cannot be a region, in words that follow its name; None for outlines.
    """

    id: str
    labels: list[str] = field(default_factory=list)
    layer: str = ""
    is_negative: bool = False
    xy: list[tuple[float, float]] = field(default_factory=list)
    problem: str | None = None


def regions_of_marks(
    marks: Sequence[Mark],
    frame: Frame,
    names: ClassNames,
    *,
    no_class: str,
    every_class: str | None = None,
) -> RegionFile:
    """Sort the marks of a file by the rules of region files.

    Parameters
    ----------
    marks
        In the order of the file; their positions there are their indices in messages.
    frame
        Size of the image, level-0 px.
    names
        Class names by role.
    no_class
        What is said of a mark whose labels name no class: the reason and the way out.
    every_class
        Class of all marks that do not subtract, whatever their labels; None takes it from the labels.

    Returns
    -------
    RegionFile
        Regions and labels, and the marks that cannot be used, each with its reason.
    """

    def identity(feature: Feature, shape: Polygon | MultiPolygon) -> UUID:
        # Ids in these files are running numbers, so a region is known by its outline.
        mark = marks[feature.index]
        return uuid5(_NAMESPACE, f"{mark.layer} {mark.is_negative} {canonical_geometry(shape).hex()}")

    origin = FeatureOrigin(identity=identity, no_class=no_class, is_pixels=True)
    features = [_feature(mark, names, every_class) for mark in marks]
    found = parse_regions(features, frame, names, origin=origin)
    quarantined = (replace(one, reason=marks[one.index].problem or one.reason) for one in found.quarantined)
    return replace(found, quarantined=tuple(quarantined))


def _feature(mark: Mark, names: ClassNames, every_class: str | None) -> dict[str, Any]:
    class_name = "Ignore*" if mark.is_negative else every_class or _class_of(mark.labels, names)
    name = next((text[:_MAX_LABEL] for text in (*mark.labels, mark.layer) if text), None)
    rings = [[list(point) for point in [*mark.xy, *mark.xy[:1]]]]
    return {
        "type": "Feature",
        "id": mark.id,
        "properties": {
            "objectType": "annotation",
            "classification": None if class_name is None else {"name": class_name},
            "name": name,
        },
        "geometry": None if mark.problem else {"type": "Polygon", "coordinates": rings},
    }


def _class_of(labels: Sequence[str], names: ClassNames) -> str | None:
    """Return the first label that names a class, with or without a number after it; None if none does."""
    for label in labels:
        for text in (label, _NUMBERED.sub("", label)):
            # A grade first: "3+" is a label, and taking off its number would leave nothing.
            if grade_of(text) is not None or class_role(text, names) != "other":
                return text.strip()
    return None


def without_area(what: str) -> str:
    """Return the `Mark.problem` of a mark that encloses nothing, e.g. of a ruler."""
    return f"is a {what}, which has no area; draw a closed outline"


def decimal(text: str | None) -> float:
    """Return a coordinate, with a decimal point or comma; NaN, which sets its mark aside, where it is no number."""
    if text is None:
        return math.nan
    # ImageScope writes the decimal sign of the system's language.
    text = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    try:
        return float(text)
    except ValueError:
        return math.nan


def ellipse(corner: tuple[float, float], opposite: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the vertices of an ellipse, (x, y) in px, from two opposite corners of its bounding box."""
    (x0, y0), (x1, y1) = corner, opposite
    centre = (x0 + x1) / 2, (y0 + y1) / 2
    radii = abs(x1 - x0) / 2, abs(y1 - y0) / 2
    angles = [2 * math.pi * i / _ELLIPSE_VERTICES for i in range(_ELLIPSE_VERTICES)]
    return [(centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)) for a in angles]
