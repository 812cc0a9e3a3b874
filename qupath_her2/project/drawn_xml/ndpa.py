"""Regions from Hamamatsu NDP.view2: ``case.ndpi.ndpa`` beside ``case.ndpi``.

``annotations / ndpviewstate (title, details, coordformat) / annotation``: a freehand outline with ``closed`` and a
``pointlist``, a circle with ``x``, ``y`` and ``radius``, or a mark without area (linearmeasure, pointer, pin).
Coordinates are nanometres from the centre of the glass slide, x right and y down. The scan states the distance of its
own centre from there, so a level-0 pixel is ``(x - XOffsetFromSlideCentre) / pixel size + width / 2``, as B. Gilbert
found (openslide-users, 2014-11-10) and QuPath's scripts for NDPA compute it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.errors import RegionFileError
from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.drawn_xml.elements import parse_elements
from qupath_her2.project.drawn_xml.marks import Mark, decimal, ellipse, regions_of_marks, without_area
from qupath_her2.project.geojson.geometry import Frame

if TYPE_CHECKING:
    from qupath_her2.project.geojson.regions import RegionFile

__all__ = ["read_ndpa_regions"]

_WITHOUT_AREA = {
    "linearmeasure": "ruler",
    "pointer": "pointer arrow",
    "pin": "pin",
    "counter": "counter",
}
#: Title that QuPath's export to NDPA gives to the holes of a region.
_HOLE = "clear"
_NO_CLASS = (
    "has no class that is known here; give it the title Tumor, Stroma or Ignore in NDP.view, or score annotations "
    "without a class as tumour: unclassified_is_tumour = true under [regions] in her2.toml"
)


@dataclass(slots=True)
class _View:
    """One ``ndpviewstate`` while it is parsed: texts by element, coordinates in nm."""

    id: str
    kind: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    points: list[dict[str, float]] = field(default_factory=list)


@dataclass(slots=True)
class _Collector:
    views: list[_View] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.parents.append(name)
        if name == "ndpviewstate":
            self.views.append(_View(attributes.get("id", "")))
        elif name == "annotation" and self.views:
            self.views[-1].kind = attributes.get("type", "").strip().casefold()
        elif name == "point" and self.views:
            self.views[-1].points.append({})

    def end(self, name: str, text: str) -> None:
        self.parents.pop()
        if not self.views:
            return
        view, parent = self.views[-1], self.parents[-1] if self.parents else ""
        # x and y are also the camera's position in the view state, which says nothing about the outline.
        if parent == "point" and view.points:
            view.points[-1][name] = decimal(text)
        elif parent in ("annotation", "ndpviewstate"):
            view.texts[f"{parent} {name}"] = text


def read_ndpa_regions(
    path: Path,
    *,
    image_width: int,
    image_height: int,
    pixel_size_um: tuple[float | None, float | None],
    scan_offset_nm: tuple[float, float] | None,
    class_names: ClassNames | None = None,
) -> RegionFile:
    """Read the regions of an NDPA file.

    Parameters
    ----------
    path
        The NDPA file.
    image_width, image_height
        Size of the scan at level 0, px; regions are clipped to it.
    pixel_size_um
        Width and height of a level-0 pixel as the scan states them, µm.
    scan_offset_nm
        Centre of the scan from the centre of the glass slide, (x, y), nm; None where the image states none.
    class_names
        Class names by role; None for the defaults of `ClassNames`.

    Returns
    -------
    RegionFile
        Regions in level-0 px, and the marks that cannot be used, each with its reason.

    Raises
    ------
    RegionFileError
        The file cannot be read or is not XML, or the image does not say where on the glass it lies.
    """
    found = _Collector()
    parse_elements(path, found.start, found.end, program="NDP.view")
    x_um, y_um = pixel_size_um
    if scan_offset_nm is None or not x_um or not y_um:
        raise RegionFileError(
            f"Region file '{path.name}' counts from the centre of the glass slide, but its image does not state "
            "its position and pixel size there, as NDPI scans do. Import the annotations in QuPath and export them as "
            "GeoJSON."
        )
    place = _Place((image_width, image_height), (1000 * x_um, 1000 * y_um), scan_offset_nm)
    return regions_of_marks(
        [_mark(view, place) for view in found.views],
        Frame(image_width, image_height),
        class_names or ClassNames(),
        no_class=_NO_CLASS,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Size of the scan, px; size of its pixels and position of its centre on the glass, nm."""

    size_px: tuple[int, int]
    pixel_nm: tuple[float, float]
    offset_nm: tuple[float, float]

    def pixel(self, x_nm: float, y_nm: float) -> tuple[float, float]:
        """Return a position on the glass in level-0 px."""
        x, y = (
            (value - offset) / size + n / 2
            for value, offset, size, n in zip(
                (x_nm, y_nm), self.offset_nm, self.pixel_nm, self.size_px, strict=True
            )
        )
        return x, y


def _mark(view: _View, place: _Place) -> Mark:
    labels = [view.texts.get(f"ndpviewstate {key}", "") for key in ("title", "details")]
    labels = [label for label in labels if label]
    title = labels[0] if labels else ""
    mark = Mark(f"annotation {view.id[:60]}{f' {title[:60]!r}' if title else ''}", labels, title)
    mark.is_negative = title.casefold() == _HOLE
    unit = view.texts.get("ndpviewstate coordformat", "nanometers").casefold()
    if unit not in ("nanometers", "nanometer", "nm", ""):
        mark.problem = f"is in {unit[:20]!r}, not in nanometres; save it again from NDP.view"
    elif view.kind == "circle":
        x, y, radius = (decimal(view.texts.get(f"annotation {key}")) for key in ("x", "y", "radius"))
        mark.xy = ellipse(place.pixel(x - radius, y - radius), place.pixel(x + radius, y + radius))
    elif view.kind != "freehand":
        mark.problem = without_area(_WITHOUT_AREA.get(view.kind, f"mark of type {view.kind[:20]!r}"))
    else:
        mark.xy = [place.pixel(point.get("x", math.nan), point.get("y", math.nan)) for point in view.points]
        is_open = view.texts.get("annotation closed", "1").casefold() in ("0", "false")
        if is_open and mark.xy[:1] != mark.xy[-1:]:
            mark.problem = without_area("line that is not closed")
    return mark
