"""Regions from Aperio ImageScope XML: polygons, rectangles, ellipses; negative regions subtract.

The file is untrusted, so it is parsed by expat element by element, and document types and entities are refused:
nothing is expanded or fetched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5
from xml.parsers import expat

from qupath_her2.errors import RegionFileError
from qupath_her2.project.geojson.geometry import BadGeometryError, Frame, clip_to_image, parse_polygon
from qupath_her2.project.geojson.regions import RegionFile
from qupath_her2.project.json_files import read_limited
from qupath_her2.provenance import canonical_geometry
from qupath_her2.records import QuarantinedFeature, Region

__all__ = ["read_aperio_regions"]

#: Namespace of the regions' UUIDs. It must never change: patches refer to regions by UUID.
_NAMESPACE = UUID("0d2f7f3e-6f0e-5b5b-8a51-7d0f6c6c2b7e")
_ELLIPSE_VERTICES = 128
#: ImageScope's codes of region types.
_POLYGON, _RECTANGLE, _ELLIPSE = ("0", "polygon", ""), ("1", "rectangle"), ("2", "ellipse")


@dataclass(slots=True)
class _Outline:
    """One `Region` element of the file."""

    id: str
    kind: str
    is_negative: bool
    layer: str
    xy: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class _OutlineCollector:
    """Collects the outlines while expat parses the file."""

    outlines: list[_Outline] = field(default_factory=list)
    layer: str = ""
    is_inside: bool = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Annotation":
            self.layer = attributes.get("Name", "")
        elif name == "Region":
            self.is_inside = True
            kind = attributes.get("Type", "").strip().casefold()
            is_negative = attributes.get("NegativeROA", "0").strip().casefold() in ("1", "true")
            self.outlines.append(_Outline(attributes.get("Id", ""), kind, is_negative, self.layer))
        # A stray vertex outside regions must not be appended to the region before it.
        elif name in ("Vertex", "V") and self.is_inside:
            self.outlines[-1].xy.append((_number(attributes.get("X")), _number(attributes.get("Y"))))

    def end(self, name: str) -> None:
        if name == "Region":
            self.is_inside = False


def _number(text: str | None) -> float:
    """Return a coordinate; NaN, which quarantines the region, where the text is not a number."""
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan


def read_aperio_regions(path: Path, *, image_width: int, image_height: int) -> RegionFile:
    """Read the regions of an Aperio XML file: tumour regions, and negative regions as ``Ignore*``.

    Parameters
    ----------
    path
        The XML file.
    image_width, image_height
        Size of the image at level 0, px; regions are clipped to it.

    Returns
    -------
    RegionFile
        Regions in level-0 px, and the outlines that could not be used, each with its reason.

    Raises
    ------
    RegionFileError
        The file cannot be read, is not XML, or declares a document type.
    """
    outlines = _outlines(path)
    frame = Frame(image_width, image_height)
    regions: dict[UUID, Region] = {}
    quarantined = []
    notes: list[str] = []
    for index, outline in enumerate(outlines):
        mended: list[str] = []
        try:
            shape, mended = parse_polygon(_geometry(outline))
            shape = clip_to_image(shape, frame, mended, is_region=True)
        except BadGeometryError as error:
            quarantined.append(QuarantinedFeature(index, outline.id or None, str(error)))
            continue
        # The file has no UUIDs; derived from the shape, they stay the same when it is read again.
        key = f"{outline.layer} {outline.is_negative} {canonical_geometry(shape).hex()}"
        uuid = uuid5(_NAMESPACE, key)
        if uuid in regions:
            quarantined.append(QuarantinedFeature(index, outline.id or None, "is drawn twice"))
            continue
        role, class_name = ("ignore", "Ignore*") if outline.is_negative else ("tumour", "Tumor")
        regions[uuid] = Region(uuid, shape, role, class_name, outline.layer or None)  # type: ignore[arg-type]
        notes.extend(f"Region {index} ({outline.id or 'no id'}): {note}." for note in mended)
    return RegionFile(tuple(regions.values()), tuple(quarantined), notes=tuple(notes))


def _outlines(path: Path) -> list[_Outline]:
    data = read_limited(path)
    reader = _OutlineCollector()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end

    def refuse(*_: Any) -> None:
        raise RegionFileError(
            f"Region file '{path.name}' declares a document type or entities, which ImageScope never writes. "
            "Save it again from ImageScope."
        )

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise RegionFileError(
            f"Region file '{path.name}' is not XML ({error}). Save it again from ImageScope."
        ) from error
    return reader.outlines


def _geometry(outline: _Outline) -> dict[str, Any]:
    """Return the outline as a GeoJSON geometry, so that the checks for GeoJSON apply to it too."""
    xy = outline.xy
    if outline.kind in _ELLIPSE and len(xy) >= 2:
        # Stored by corners of its bounding box. With the extremes their number and order do not matter.
        xs, ys = [x for x, _ in xy], [y for _, y in xy]
        centre = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
        radii = (max(xs) - min(xs)) / 2, (max(ys) - min(ys)) / 2
        angles = [2 * math.pi * i / _ELLIPSE_VERTICES for i in range(_ELLIPSE_VERTICES)]
        xy = [(centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)) for a in angles]
    elif outline.kind in _RECTANGLE and len(xy) == 2:
        (x0, y0), (x1, y1) = xy
        xy = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    elif outline.kind not in (*_POLYGON, *_RECTANGLE):
        raise BadGeometryError("is an arrow, a ruler or another mark without area")
    return {"type": "Polygon", "coordinates": [[list(point) for point in [*xy, *xy[:1]]]]}
