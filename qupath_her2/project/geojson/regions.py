"""People's regions from GeoJSON: every sound feature is used, every other one is set aside with its reason.

A file that QuPath 0.6 and later would refuse whole for one bad feature still gives its other regions here.

What is done with each feature:

* set aside (quarantined): no polygon, empty, open outline, NaN, outside the image, a height above the plane,
  another plane of a stack, an id met before, no class, a map projection, a self-intersection whose repair
  moves 1 % of the area;
* mended, with a note: outlines that slightly cross themselves, parts outside the image, a height of 0;
* an annotation of a graded class (``Tumor: 3+``) is a label, never a region;
* an annotation without a class is set aside, unless `ClassNames.unclassified_is_tumour` is on and no other
  annotation is tumour by its class;
* cells and detections become `ExistingCells`; objects that this package made in an earlier run are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from shapely import MultiPolygon, Polygon
from shapely.errors import ShapelyError

from qupath_her2.errors import RegionFileError
from qupath_her2.project.class_names import ClassNames, class_role, grade_of
from qupath_her2.project.geojson.existing_cells import CellCollector, ExistingCells
from qupath_her2.project.geojson.features import Feature, crs_problem, describe, stable_uuid, walk
from qupath_her2.project.geojson.geometry import BadGeometryError, Frame, clip_to_image, parse_polygon
from qupath_her2.project.json_files import load_json
from qupath_her2.provenance import is_ours
from qupath_her2.records import QuarantinedFeature, Region, RegionRole

__all__ = ["RegionFile", "parse_regions", "read_regions"]

_GEOMETRIES = {
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
}
_NO_CLASS = (
    "has no class; set its class to Tumor in QuPath, or pass --unclassified-is-tumour "
    "to score annotations without a class"
)


@dataclass(frozen=True, slots=True)
class RegionFile:
    """What a region file holds.

    Attributes
    ----------
    regions
        People's annotations with their role; geometry valid and inside the image.
    quarantined
        Features set aside, each with its place, id and reason.
    labels
        Annotations of a graded class; their `role` is ``other``.
    existing_cells
        Cells and detections, None where there are none.
    notes
        Sentences on what was mended or left out.
    cores
        TMA cores that are not marked missing, as regions of role ``other``; `name` is the core's.
    """

    regions: tuple[Region, ...] = ()
    quarantined: tuple[QuarantinedFeature, ...] = ()
    labels: tuple[Region, ...] = ()
    existing_cells: ExistingCells | None = None
    notes: tuple[str, ...] = ()
    cores: tuple[Region, ...] = ()


def read_regions(
    path: Path, *, image_width: int, image_height: int, class_names: ClassNames | None = None
) -> RegionFile:
    """Read a GeoJSON file of QuPath 0.2 to 0.7, TIAToolbox or any other program.

    Parameters
    ----------
    path
        ``.geojson``, ``.json``, or either with ``.gz``.
    image_width, image_height
        Of level 0 of the image as QuPath shows it, in pixels.
    class_names
        Which class names mean what; the defaults of `ClassNames` where None.

    Raises
    ------
    RegionFileError
        The file as a whole cannot be read: missing, empty, cut short, not JSON, not GeoJSON.
    """
    features, problem = _top_level(load_json(path), path.name)
    frame = Frame(image_width, image_height)
    return parse_regions(features, frame, class_names or ClassNames(), file_problem=problem)


def _top_level(data: Any, file_name: str) -> tuple[list[Any], str | None]:
    """Return the features of any of the four forms a file may have, and what is wrong with its projection."""
    if isinstance(data, list):
        return data, None
    kind = data.get("type") if isinstance(data, dict) else None
    if isinstance(data, dict):
        problem = crs_problem(data)
        if isinstance(data.get("features"), list) and kind in ("FeatureCollection", None):
            return data["features"], problem
        if kind == "Feature":
            return [data], problem
        if isinstance(kind, str) and kind in _GEOMETRIES:
            return [{"type": "Feature", "geometry": data}], problem
    raise RegionFileError(
        f"Region file '{file_name}' is JSON but not GeoJSON ({type(data).__name__} of type {kind!r:.60}). "
        "Expected a FeatureCollection, an array of features, a feature or a geometry: "
        "in QuPath, File → Export objects as GeoJSON."
    )


@dataclass(slots=True)
class _Sorter:
    """The piles that features are sorted onto."""

    frame: Frame
    names: ClassNames
    file_problem: str | None
    regions: list[Region] = field(default_factory=list)
    quarantined: list[QuarantinedFeature] = field(default_factory=list)
    labels: list[Region] = field(default_factory=list)
    cores: list[Region] = field(default_factory=list)
    cells: CellCollector = field(default_factory=CellCollector)
    unclassified: list[tuple[Feature, Region]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seen: dict[UUID, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def sort(self, index: int, raw: Any) -> None:
        """Put one feature onto its pile."""
        if not isinstance(raw, dict):
            reason = f"is {type(raw).__name__ if raw is not None else 'null'}, not a feature"
            self.quarantined.append(QuarantinedFeature(index, None, reason))
            return
        feature = describe(index, raw, self.names)
        if feature.object_type == "root":
            return
        if feature.object_type == "tile":
            self._skip("tiles")
        elif feature.object_type == "tma_core" and feature.is_missing:
            self._skip("TMA cores marked missing")
        elif feature.uuid is not None and is_ours(feature.uuid):
            self._skip("objects of an earlier HER2 run")
        else:
            try:
                self._place(feature, crs_problem(raw) or self.file_problem)
            except BadGeometryError as error:
                self.quarantined.append(QuarantinedFeature(index, feature.id, str(error)))
            except ShapelyError as error:
                reason = f"has a geometry that cannot be worked with ({error}); redraw it"
                self.quarantined.append(QuarantinedFeature(index, feature.id, reason))

    def _place(self, feature: Feature, problem: str | None) -> None:
        if problem:
            raise BadGeometryError(problem)
        is_region = feature.object_type in ("annotation", "tma_core") and grade_of(feature.class_name) is None
        shape, notes = parse_polygon(feature.geometry)
        shape = clip_to_image(shape, self.frame, notes, is_region=is_region)
        uuid = self._unique(feature, shape)
        if feature.object_type in ("cell", "detection"):
            self._place_cell(feature, shape, uuid, notes)
        else:
            self._place_annotation(feature, shape, uuid)
        where = f"Feature {feature.index} ({feature.id or 'no id'})"
        self.notes.extend(f"{where}: {note}." for note in (*feature.notes, *notes))

    def _unique(self, feature: Feature, shape: Polygon | MultiPolygon) -> UUID:
        uuid = stable_uuid(feature, shape)
        if uuid in self.seen:
            same = "has the id" if feature.id else "has the outline and class"
            raise BadGeometryError(
                f"{same} of feature {self.seen[uuid]}; results are attached by id, so each may occur once. "
                "In QuPath: select the copy, delete it, and draw it again"
            )
        self.seen[uuid] = feature.index
        return uuid

    def _place_annotation(self, feature: Feature, shape: Polygon | MultiPolygon, uuid: UUID) -> None:
        is_label = grade_of(feature.class_name) is not None
        is_plain = feature.object_type == "annotation" and not is_label
        role: RegionRole = class_role(feature.class_name, self.names) if is_plain else "other"
        region = Region(uuid, shape, role, feature.class_name, feature.name, feature.is_locked)
        if feature.object_type == "tma_core":
            self.cores.append(region)
        elif is_label:
            self.labels.append(region)
        elif feature.class_name is None:
            self.unclassified.append((feature, region))
        else:
            self.regions.append(region)

    def _place_cell(
        self, feature: Feature, shape: Polygon | MultiPolygon, uuid: UUID, notes: list[str]
    ) -> None:
        nucleus = None
        if feature.nucleus is not None:
            try:
                nucleus = clip_to_image(parse_polygon(feature.nucleus)[0], self.frame, [], is_region=False)
            except BadGeometryError as error:
                notes.append(f"its nucleus was left out: it {error}")
        self.cells.add(uuid, shape, nucleus, feature.class_name, is_cell=feature.object_type == "cell")

    def _skip(self, what: str) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + 1

    def settle_unclassified(self) -> None:
        """Use annotations without a class as tumour where that was asked for and nothing else is tumour."""
        if not self.unclassified:
            return
        has_tumour = any(region.role == "tumour" for region in self.regions)
        if self.names.unclassified_is_tumour and not has_tumour:
            self.regions.extend(replace(region, role="tumour") for _, region in self.unclassified)
            self.notes.append(f"{len(self.unclassified)} annotations without a class were used as tumour.")
            return
        for feature, _ in self.unclassified:
            self.quarantined.append(QuarantinedFeature(feature.index, feature.id, _NO_CLASS))

    def result(self) -> RegionFile:
        """Return the piles."""
        self.settle_unclassified()
        left_out = [f"{count} {what} were left out." for what, count in sorted(self.skipped.items())]
        return RegionFile(
            regions=tuple(self.regions),
            quarantined=tuple(sorted(self.quarantined, key=lambda feature: feature.index)),
            labels=tuple(self.labels),
            existing_cells=self.cells.table(),
            notes=(*self.notes, *left_out),
            cores=tuple(self.cores),
        )


def parse_regions(
    features: list[Any], frame: Frame, names: ClassNames, *, file_problem: str | None = None
) -> RegionFile:
    """Sort features that were read from JSON; never raises, whatever they hold.

    `file_problem` is what is wrong with all of them (a map projection), None where nothing is.
    """
    sorter = _Sorter(frame, names, file_problem)
    for index, raw in walk(features):
        sorter.sort(index, raw)
    return sorter.result()
