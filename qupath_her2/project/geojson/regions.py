"""Region files: annotations and existing cells from GeoJSON, with unusable features quarantined one by one.

QuPath 0.6 and later refuse a whole file for one invalid feature; here the other features are still used. The
``geojson`` package does not parse the file: it builds an object per feature, too much for a million cells, and its
strict mode refuses the whole file as well.

* Quarantined, with a reason: without a polygon, empty, half an outline, NaN, outside the image, three-dimensional, on
  another plane of a stack, duplicate id, no class, map coordinates, or a self-intersection that can be filled in two
  ways.
* Features are found at any nesting (`nesting`); none vanishes without a region, a count or a reason.
* Repaired, with a note: bow-ties and slight self-intersections, open outlines, points and lines in a collection, parts
  outside the image, a third coordinate of 0, a ``crs`` on pixel coordinates.
* An annotation of an intensity class (``Tumor: 3+``) is a label, never a region.
* An annotation without a class is quarantined, unless `ClassNames.unclassified_is_tumour` is on and no annotation has
  a tumour class.
* An annotation of the class ``Tumor?`` is a proposal, never a region.
* Cells and detections become `ExistingCells`. Objects created by an earlier run of this package are skipped, except
  annotations with a class: a person gave it to them, or has still to decide on a proposal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from shapely import MultiPolygon, Polygon
from shapely.errors import ShapelyError

from qupath_her2.project.class_names import ClassNames, class_role, grade_of, is_proposed
from qupath_her2.project.geojson.existing_cells import CellCollector, ExistingCells, largest_ring
from qupath_her2.project.geojson.features import (
    Feature,
    crs_problem,
    parse_feature,
    stable_uuid,
)
from qupath_her2.project.geojson.geometry import (
    SAID_SHARE,
    BadGeometryError,
    Frame,
    clip_to_image,
    parse_polygon,
)
from qupath_her2.project.geojson.nesting import iterate_features, top_level_features
from qupath_her2.project.json_files import load_json
from qupath_her2.provenance import is_ours
from qupath_her2.records import QuarantinedFeature, Region, RegionRole

__all__ = ["FeatureOrigin", "RegionFile", "parse_regions", "read_regions"]

#: Largest longitude and latitude.
_DEGREES = (180, 90)
_NO_CLASS = (
    "has no class; set its class to Tumor in QuPath, or score annotations without a class as tumour: "
    "unclassified_is_tumour = true under [regions] in her2.toml"
)


@dataclass(frozen=True, slots=True)
class FeatureOrigin:
    """The program that drew the features of a file, as far as it matters to sorting them.

    Attributes
    ----------
    identity
        Gives the UUID of a feature with its shape inside the image; the same each time the file is read.
    no_class
        Why an annotation without a class is set aside, and the ways out.
    is_pixels
        The program only writes pixels of the image, never longitude and latitude.
    """

    identity: Callable[[Feature, Polygon | MultiPolygon], UUID] = stable_uuid
    no_class: str = _NO_CLASS
    is_pixels: bool = False


@dataclass(frozen=True, slots=True)
class RegionFile:
    """The content of a region file.

    Attributes
    ----------
    regions
        Annotations with their role; each geometry is valid and inside the image.
    quarantined
        Features that cannot be used, each with its position, id and reason.
    labels
        Annotations of an intensity class; their `role` is ``other``.
    existing_cells
        Cells and detections, None if there are none.
    repairs
        Sentences on annotations whose outline or class was changed to use them; `notes` begins with them.
    notes
        Sentences on what was repaired or skipped.
    cores
        TMA cores that are not marked missing, as regions of role ``other``; `name` is that of the core.
    missing_cores
        TMA cores marked missing in QuPath; they are listed, never scored.
    n_unclassified
        Annotations quarantined because they have no class.
    proposals
        Annotations of the class ``Tumor?``, by whomever; their `role` is ``other``.
    selected
        The annotation or TMA core that was asked for by its UUID; None where none was.
    """

    regions: tuple[Region, ...] = ()
    quarantined: tuple[QuarantinedFeature, ...] = ()
    labels: tuple[Region, ...] = ()
    existing_cells: ExistingCells | None = None
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    cores: tuple[Region, ...] = ()
    missing_cores: tuple[Region, ...] = ()
    n_unclassified: int = 0
    proposals: tuple[Region, ...] = ()
    selected: Region | None = None

    @property
    def drawn(self) -> tuple[Region, ...]:
        """Everything that decides which points are scored, as it was drawn."""
        return (*self.regions, *self.cores, *(() if self.selected is None else (self.selected,)))


def read_regions(
    path: Path,
    *,
    image_width: int,
    image_height: int,
    class_names: ClassNames | None = None,
    only: UUID | None = None,
) -> RegionFile:
    """Read a GeoJSON file written by QuPath 0.2 to 0.7, TIAToolbox or any other program.

    Parameters
    ----------
    path
        ``.geojson``, ``.json``, or either with ``.gz``.
    image_width, image_height
        Size of level 0 of the image as QuPath shows it, in pixels.
    class_names
        Class names by role; None for the defaults of `ClassNames`.
    only
        As for `parse_regions`.

    Returns
    -------
    RegionFile
        Regions, labels, cores and existing cells, and what was quarantined, repaired or skipped.

    Raises
    ------
    RegionFileError
        The file as a whole cannot be read: missing, empty, truncated, not JSON, not GeoJSON.
    """
    features, problem = top_level_features(load_json(path), path.name)
    frame = Frame(image_width, image_height)
    return parse_regions(features, frame, class_names or ClassNames(), file_problem=problem, only=only)


@dataclass(slots=True)
class _FeatureSorter:
    """Sorts features by kind, and quarantines those that cannot be used."""

    frame: Frame
    names: ClassNames
    file_problem: str | None
    origin: FeatureOrigin
    only: UUID | None = None
    regions: list[Region] = field(default_factory=list)
    quarantined: list[QuarantinedFeature] = field(default_factory=list)
    labels: list[Region] = field(default_factory=list)
    proposals: list[Region] = field(default_factory=list)
    selected: Region | None = None
    cores: list[Region] = field(default_factory=list)
    missing_cores: list[Region] = field(default_factory=list)
    cells: CellCollector = field(default_factory=CellCollector)
    unclassified: list[tuple[Feature, Region]] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seen: dict[UUID, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def add(self, index: int, raw: Any, outer_problem: str | None = None) -> None:
        """Sort one feature; never raises.

        Parameters
        ----------
        index
            0-based position in the file.
        raw
            As parsed from JSON.
        outer_problem
            Problem with the ``crs`` of the collection around it, None if there is none.
        """
        if not isinstance(raw, dict):
            reason = f"is {type(raw).__name__ if raw is not None else 'null'}, not a feature"
            self.quarantined.append(QuarantinedFeature(index, None, reason))
            return
        feature = parse_feature(index, raw, self.names)
        # Some exports contain the root of the object hierarchy, which is not an annotation.
        if feature.object_type == "root":
            if feature.geometry:
                self._count_skipped("roots of QuPath's object hierarchy")
        elif feature.object_type == "tile":
            self._count_skipped("tiles")
        elif _is_result(feature):
            self._count_skipped("objects of an earlier HER2 run")
        else:
            try:
                self._add_object(feature, crs_problem(raw) or outer_problem or self.file_problem)
            except BadGeometryError as error:
                self.quarantined.append(QuarantinedFeature(index, feature.id, str(error)))
            except ShapelyError as error:
                # GEOS still fails on some shapes that pass all checks, e.g. with extreme coordinates.
                reason = f"has a geometry that cannot be processed ({error}); redraw it"
                self.quarantined.append(QuarantinedFeature(index, feature.id, reason))

    def _add_object(self, feature: Feature, problem: str | None) -> None:
        is_region = feature.object_type in ("annotation", "tma_core") and grade_of(feature.class_name) is None
        shape, notes = parse_polygon(feature.geometry)
        if problem is not None:
            self._require_pixels(shape, problem)
            notes.append("its 'crs' was ignored, because its coordinates are pixels of the image")
        shape = clip_to_image(shape, self.frame, notes, is_region=is_region)
        uuid = self._unique_uuid(feature, shape)
        if feature.object_type in ("cell", "detection"):
            self._add_cell(feature, shape, uuid, notes)
        else:
            self._add_annotation(feature, shape, uuid)
        where = f"Feature {feature.index} ({feature.id or 'no id'})"
        is_cell = feature.object_type in ("cell", "detection")
        said = self.notes if is_cell else self.repairs
        said.extend(f"{where}: {note}." for note in (*feature.notes, *notes))

    def _require_pixels(self, shape: Polygon | MultiPolygon, problem: str) -> None:
        """Raise where a map projection is declared, unless the coordinates can only be pixels of this image."""
        x0, y0, x1, y1 = shape.bounds
        is_inside = x0 >= 0 and y0 >= 0 and x1 <= self.frame.width and y1 <= self.frame.height
        if not is_inside or not (self.frame.is_pixels or x1 > _DEGREES[0] or y1 > _DEGREES[1]):
            raise BadGeometryError(problem)

    def _unique_uuid(self, feature: Feature, shape: Polygon | MultiPolygon) -> UUID:
        uuid = self.origin.identity(feature, shape)
        if uuid in self.seen:
            same = (
                "has the id"
                if feature.id and self.origin.identity is stable_uuid
                else "has the outline and class"
            )
            raise BadGeometryError(
                f"{same} of feature {self.seen[uuid]}; results are attached by id, so ids must be unique. "
                "In QuPath, delete the copy and draw it again"
            )
        # Only usable features get here, so a broken feature does not block a good one with the same id.
        self.seen[uuid] = feature.index
        return uuid

    def _add_annotation(self, feature: Feature, shape: Polygon | MultiPolygon, uuid: UUID) -> None:
        is_label = grade_of(feature.class_name) is not None
        is_plain = feature.object_type == "annotation" and not is_label
        role: RegionRole = class_role(feature.class_name, self.names) if is_plain else "other"
        region = Region(uuid, shape, role, feature.class_name, feature.name, feature.is_locked)
        if uuid == self.only:
            self.selected = region
        elif self.only is not None:
            self.regions += [region] if role != "other" else []
        # Callers decide on cores: the frame of the annotations inside, or a region if there are none.
        elif feature.object_type == "tma_core":
            (self.missing_cores if feature.is_missing else self.cores).append(region)
        elif is_label:
            self.labels.append(region)
        elif is_proposed(feature.class_name):
            self.proposals.append(region)
        elif feature.class_name is None:
            self.unclassified.append((feature, region))
        else:
            self.regions.append(region)

    def _add_cell(
        self, feature: Feature, shape: Polygon | MultiPolygon, uuid: UUID, notes: list[str]
    ) -> None:
        nucleus = None
        if feature.nucleus is not None:
            try:
                nucleus = clip_to_image(parse_polygon(feature.nucleus)[0], self.frame, [], is_region=False)
            except BadGeometryError as error:
                # The cell is still usable without it.
                notes.append(f"its nucleus was left out, because it {error}")
        if isinstance(shape, MultiPolygon) or shape.interiors:
            kept = Polygon(largest_ring(shape)).area
            if abs(kept - shape.area) > SAID_SHARE * shape.area:
                areas = f"area now {kept:,.0f} px², was {shape.area:,.0f} px²"
                notes.append(f"its largest part was kept, without holes ({areas})")
        self.cells.add(uuid, shape, nucleus, feature.class_name, is_cell=feature.object_type == "cell")

    def _count_skipped(self, what: str) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + 1

    def _resolve_unclassified(self) -> None:
        """Use annotations without a class as tumour, if the settings say so and nothing else is tumour."""
        if not self.unclassified:
            return
        has_tumour = any(region.role == "tumour" for region in self.regions)
        if self.names.unclassified_is_tumour and not has_tumour:
            self.regions.extend(replace(region, role="tumour") for _, region in self.unclassified)
            self.notes.append(f"{len(self.unclassified)} annotations without a class were used as tumour.")
            return
        for feature, _ in self.unclassified:
            self.quarantined.append(QuarantinedFeature(feature.index, feature.id, self.origin.no_class))

    def result(self) -> RegionFile:
        """Return the sorted content, once all features were added."""
        # Only now is it known whether any annotation has a tumour class.
        self._resolve_unclassified()
        skipped = [f"{count} {what} were left out." for what, count in sorted(self.skipped.items())]
        return RegionFile(
            regions=tuple(self.regions),
            quarantined=tuple(sorted(self.quarantined, key=lambda feature: feature.index)),
            labels=tuple(self.labels),
            existing_cells=self.cells.table(),
            repairs=tuple(self.repairs),
            notes=(*self.repairs, *self.notes, *skipped),
            cores=tuple(self.cores),
            missing_cores=tuple(self.missing_cores),
            n_unclassified=sum(bad.reason == self.origin.no_class for bad in self.quarantined),
            proposals=tuple(self.proposals),
            selected=self.selected,
        )


def _is_result(feature: Feature) -> bool:
    """Return whether a feature is a result of ours that no person has taken over."""
    is_classified = feature.object_type == "annotation" and feature.class_name is not None
    return feature.uuid is not None and is_ours(feature.uuid) and not is_classified


def _beyond_degrees(features: list[Any]) -> bool:
    """Return whether any coordinate of a file is too large for longitude and latitude; stops at the first."""
    for _, raw, _ in iterate_features(features):
        geometry = raw.get("geometry") if isinstance(raw, dict) else None
        pending = [geometry.get("coordinates")] if isinstance(geometry, dict) else []
        while pending:
            item = pending.pop()
            if not isinstance(item, list):
                continue
            if len(item) >= 2 and all(isinstance(value, int | float) for value in item[:2]):
                if abs(item[0]) > _DEGREES[0] or abs(item[1]) > _DEGREES[1]:
                    return True
            else:
                pending.extend(item)
    return False


def parse_regions(
    features: list[Any],
    frame: Frame,
    names: ClassNames,
    *,
    file_problem: str | None = None,
    origin: FeatureOrigin | None = None,
    only: UUID | None = None,
) -> RegionFile:
    """Sort features parsed from JSON by kind; never raises, whatever they contain.

    Parameters
    ----------
    features
        The features, nested ones in their parents.
    frame
        Size of the image, in level-0 pixels.
    names
        Class names by role.
    file_problem
        Reason to quarantine all of them (a map projection), None if there is none.
    origin
        The program that drew them; None for QuPath.
    only
        UUID of the one annotation or TMA core that is asked for, whatever its class: of the others, those are kept
        whose roles decide on points. None where all are.

    Returns
    -------
    RegionFile
        Regions, labels, cores and existing cells, and what was quarantined, repaired or skipped.
    """
    origin = origin or FeatureOrigin()
    frame = replace(frame, is_pixels=origin.is_pixels or _beyond_degrees(features))
    sorter = _FeatureSorter(frame, names, file_problem, origin, only)
    for index, raw, problem in iterate_features(features):
        sorter.add(index, raw, problem)
    return sorter.result()
