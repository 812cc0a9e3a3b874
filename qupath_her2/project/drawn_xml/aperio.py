"""Regions from the XML of Aperio ImageScope, and from that of ASAP, which uses the same names for other things.

ImageScope, ``case.xml`` beside ``case.svs``: ``Annotations / Annotation (a layer) / Regions / Region / Vertices /
Vertex``, X and Y in level-0 px. A region is a polygon (type 0), a rectangle (1), an ellipse by the corners of its
bounding box (2), an arrow (3) or a ruler (4); with ``NegativeROA="1"`` it subtracts. Its class is the first that its
text, its layer's name or its layer's description names.

ASAP (Litjens G et al., GigaScience 2018;7:giy065): ``ASAP_Annotations / Annotations / Annotation (an outline) /
Coordinates / Coordinate``, X and Y in level-0 px; its group (``PartOfGroup``) or name is the class.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.drawn_xml.elements import parse_elements
from qupath_her2.project.drawn_xml.marks import Mark, decimal, ellipse, regions_of_marks, without_area
from qupath_her2.project.geojson.geometry import Frame
from qupath_her2.project.geojson.regions import RegionFile

__all__ = ["ROOTS", "read_aperio_regions"]

#: Root elements of the files that are read here.
ROOTS = ("Annotations", "ASAP_Annotations")
#: Region types by code and by name: some versions write the one, some the other.
_POLYGON = ("0", "polygon", "freehand", "spline", "")
_RECTANGLE, _ELLIPSE = ("1", "rectangle"), ("2", "ellipse")
_WITHOUT_AREA = {
    "3": "straight arrow",
    "4": "ruler",
    "arrow": "straight arrow",
    "ruler": "ruler",
    "dot": "point",
    "pointset": "set of points",
    "measurement": "ruler",
}
_NO_CLASS = (
    "has no class that is known here; name its layer Tumor, Stroma or Ignore in the program that drew it, or score "
    "annotations without a class as tumour: unclassified_is_tumour = true under [regions] in her2.toml"
)


@dataclass(slots=True)
class _Collector:
    """Collects the marks while the file is parsed."""

    marks: list[Mark] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    layer: str = ""
    description: str = ""
    is_asap: bool = False
    is_inside: bool = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "ASAP_Annotations":
            self.is_asap = True
        elif name == "Annotation" and self.is_asap:
            group = attributes.get("PartOfGroup", "")
            self._open(attributes, [group if group != "None" else "", attributes.get("Name", "")], group)
        elif name == "Annotation":
            self.layer, self.description = attributes.get("Name", ""), ""
        elif name == "Attribute" and attributes.get("Name", "").strip().casefold() == "description":
            self.description = attributes.get("Value", "")
        elif name == "Region":
            self._open(attributes, [attributes.get("Text", ""), self.layer, self.description], self.layer)
        # A stray vertex outside regions must not be appended to the region before it.
        elif name in ("Vertex", "V", "Coordinate") and self.is_inside:
            self.marks[-1].xy.append((decimal(attributes.get("X")), decimal(attributes.get("Y"))))

    def _open(self, attributes: dict[str, str], labels: list[str], layer: str) -> None:
        number = attributes.get("Id") or attributes.get("DisplayId") or attributes.get("Name") or ""
        where = f" of layer {layer!r}" if layer else ""
        is_negative = attributes.get("NegativeROA", "0").strip().casefold() in ("1", "true")
        labels = [text.strip() for text in labels if text.strip()]
        mark = Mark(f"region {number[:60]}{where[:80]}", labels, layer, is_negative)
        self.marks.append(mark)
        self.kinds.append(attributes.get("Type", "").strip().casefold())
        self.is_inside = True

    def end(self, name: str, _: str) -> None:
        if name == ("Annotation" if self.is_asap else "Region"):
            self.is_inside = False


def read_aperio_regions(
    path: Path,
    *,
    image_width: int,
    image_height: int,
    class_names: ClassNames | None = None,
    every_class: str | None = None,
) -> RegionFile:
    """Read the regions of an Aperio ImageScope or ASAP file; negative regions have the class ``Ignore*``.

    Parameters
    ----------
    path
        The XML file.
    image_width, image_height
        Size of the image at level 0, px; regions are clipped to it.
    class_names
        Class names by role; None for the defaults of `ClassNames`.
    every_class
        Class of all regions that do not subtract; None takes it from their text, layer or group.

    Returns
    -------
    RegionFile
        Regions in level-0 px, and the marks that cannot be used, each with its reason.

    Raises
    ------
    RegionFileError
        The file cannot be read, is not XML, or declares a document type.
    """
    found = _Collector()
    parse_elements(path, found.start, found.end, program="ImageScope")
    for mark, kind in zip(found.marks, found.kinds, strict=True):
        _shape(mark, kind)
    return regions_of_marks(
        found.marks,
        Frame(image_width, image_height),
        class_names or ClassNames(),
        no_class=_NO_CLASS,
        every_class=every_class,
    )


def _shape(mark: Mark, kind: str) -> None:
    """Replace the vertices stored for an ellipse or rectangle by those of its outline."""
    if kind in _ELLIPSE and len(mark.xy) >= 2:
        # With the extremes, the number and order of the stored corners do not matter.
        xs, ys = [x for x, _ in mark.xy], [y for _, y in mark.xy]
        mark.xy = ellipse((min(xs), min(ys)), (max(xs), max(ys)))
    elif kind in _RECTANGLE and len(mark.xy) == 2:
        (x0, y0), (x1, y1) = mark.xy
        mark.xy = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    elif kind not in (*_POLYGON, *_RECTANGLE, *_ELLIPSE):
        mark.problem = without_area(_WITHOUT_AREA.get(kind, f"mark of type {kind[:20]!r}"))
