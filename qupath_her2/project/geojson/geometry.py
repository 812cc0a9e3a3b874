"""GeoJSON geometry to valid polygons inside the image.

Strict where a mistake would change the scored area, lenient where nothing is lost. QuPath 0.6 and later refuse a whole
file for one self-intersecting or open ring, so the errors here are per feature. The checks are our own because those
of the ``geojson`` package run over single coordinates in Python (12 times slower at 200,000 vertices) and know neither
self-intersections nor images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from qupath_her2.project.geojson.self_crossings import (
    MAX_CROSSINGS,
    crosses_too_often,
    fill_even_odd,
    fill_non_zero,
)

__all__ = ["BadGeometryError", "Frame", "clip_to_image", "parse_polygon", "polygon_parts", "snap"]

#: A self-intersection is repaired if less than this share of its area depends on the rule of filling.
MAX_REPAIR_SHARE = 0.01
#: More vertices than this in one feature are taken for damage: it is 40 times the densest pixel-traced outline
#: seen so far.
MAX_VERTICES = 4_000_000
#: Outlines that cross themselves are repaired up to this number of vertices; beyond, looking for the crossings takes
#: too long.
MAX_REPAIR_VERTICES = 500_000
#: A change of area by more than this share is said.
SAID_SHARE = 0.001
#: In images at least this wide or high, coordinates that all fit into longitude and latitude are suspicious.
LONLAT_IMAGE_PX = 2000
#: QuPath's coordinate grid (0.6 and later).
GRID_PX = 0.01

_POLYGON_TYPES = ("Polygon", "MultiPolygon")


class BadGeometryError(ValueError):
    """A geometry that cannot be used as a region; the message is the reason given for the quarantine."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Width and height of the image, in level-0 pixels.

    `is_pixels` : coordinates elsewhere in the file prove that they are pixels, not longitude and latitude.
    """

    width: int
    height: int
    is_pixels: bool = False


def parse_polygon(geometry: object) -> tuple[Polygon | MultiPolygon, list[str]]:
    """Return a valid polygon or multipolygon, and notes on what was repaired.

    Parameters
    ----------
    geometry
        The ``geometry`` member as parsed from JSON.

    Returns
    -------
    shape
        Valid, with its holes, in the coordinates of the file.
    notes
        Sentence fragments on repairs, e.g. ``third coordinate of zero was dropped``.

    Raises
    ------
    BadGeometryError
        Without any polygon, on another plane of a stack, empty, open by more than an edge, NaN, three-dimensional, or
        a self-intersection of which 1 % or more is inside by one rule of filling and outside by another.
    """
    if not isinstance(geometry, dict):
        raise BadGeometryError("has no geometry")
    _refuse_other_plane(geometry.get("plane"))
    oddities = _Oddities()
    parts = list(_polygon_coordinates(geometry, oddities))
    if not parts:
        kind = _shortened(geometry.get("type"))
        raise BadGeometryError(f"is a {kind}, which has no area; draw a polygon or use the brush")
    polygons = [_polygon(part, oddities) for part in parts]
    notes = oddities.notes()
    if sum(shapely.get_num_coordinates(polygon) for polygon in polygons) > MAX_VERTICES:
        raise BadGeometryError(f"has more than {MAX_VERTICES:,} vertices; simplify it in QuPath")
    shape = polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
    return _valid(shape, notes), notes


@dataclass(slots=True)
class _Oddities:
    """What was odd about the coordinates of a geometry, over all of its rings.

    Counted rather than noted one by one: thousands of rings may be open.
    """

    is_flat: bool = False
    gaps_px: list[float] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        """Return a sentence fragment for each kind."""
        notes = []
        for kind, count in self.left_out.most_common(3):
            one = f"1 {kind} in its collection has no area and was left out"
            many = f"{count:,} x {kind} in its collection have no area and were left out"
            notes.append(one if count == 1 else many)
        if len(self.left_out) > 3:
            notes.append(f"{len(self.left_out) - 3} other kinds of geometry in its collection were left out")
        if self.is_flat:
            notes.append("third coordinate of zero was dropped")
        if len(self.gaps_px) == 1:
            notes.append(f"open outline was closed (gap of {self.gaps_px[0]:.1f} px)")
        elif self.gaps_px:
            notes.append(
                f"{len(self.gaps_px)} open outlines were closed (gaps of up to {max(self.gaps_px):.1f} px)"
            )
        return notes


def _polygon_coordinates(geometry: dict[str, Any], oddities: _Oddities) -> Iterator[list[Any]]:
    """Yield the rings of each polygon of a geometry; points and lines of a collection are left out and counted."""
    pending: list[Any] = [geometry]
    while pending:
        item = pending.pop()
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "GeometryCollection":
            members = item.get("geometries")
            pending.extend(reversed(members) if isinstance(members, list) else ())
        elif kind in _POLYGON_TYPES:
            coordinates = item.get("coordinates")
            parts = [coordinates] if kind == "Polygon" else coordinates
            if not isinstance(parts, list) or not parts or not all(isinstance(part, list) for part in parts):
                raise BadGeometryError("has empty or missing coordinates")
            yield from parts
        elif kind in ("Feature", "FeatureCollection"):
            # It may have a class of its own, so its area is not simply part of this one.
            raise BadGeometryError(f"holds a {kind} in its geometry; write that beside it, not into it")
        elif item is not geometry:
            oddities.left_out["entry without a type" if kind is None else _shortened(kind)] += 1


def _refuse_other_plane(plane: object) -> None:
    """Refuse annotations on another plane of a stack: the pixels beneath them are not the ones that are scored."""
    numbers = {key: plane.get(key) for key in ("z", "t")} if isinstance(plane, dict) else {}
    if any(numbers.values()):
        where = ", ".join(f"{key} = {_shortened(value)}" for key, value in numbers.items())
        raise BadGeometryError(
            f"lies on another plane ({where}) than the first, which is scored; draw it there"
        )


def _polygon(rings: list[Any], oddities: _Oddities) -> Polygon:
    if not rings:
        raise BadGeometryError("is empty")
    arrays = [_ring(ring, oddities) for ring in rings]
    return Polygon(arrays[0], arrays[1:])


def _ring(ring: object, oddities: _Oddities) -> NDArray[np.float64]:
    """Return one ring as float64 (K, 2), closed."""
    if not isinstance(ring, list) or not ring:
        raise BadGeometryError("is empty")
    try:
        points = np.asarray(ring, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadGeometryError("has coordinates that are not pairs of numbers") from error
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise BadGeometryError("has coordinates that are not pairs of numbers")
    if not np.isfinite(points).all():
        raise BadGeometryError("has NaN or infinite coordinates")
    if points.shape[1] == 3:
        # A third coordinate of zero is harmless; any other means that these are not flat pixel coordinates.
        if points[:, 2].any():
            raise BadGeometryError("is three-dimensional; export it as flat pixel coordinates (x, y)")
        points = points[:, :2]
        oddities.is_flat = True
    if np.abs(points).max() > 1e9:
        raise BadGeometryError(f"has a coordinate of {np.abs(points).max():.3g}, far beyond any image")
    if not (points[0] == points[-1]).all():
        points = _closed(points, oddities)
    if len(points) < 4:
        raise BadGeometryError(f"has an outline of {len(points)} points; a closed one needs at least 4")
    return points


def _closed(points: NDArray[np.float64], oddities: _Oddities) -> NDArray[np.float64]:
    """Return an open ring with its first point repeated, if only that is missing, as QuPath 0.5 closed it."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    gap = float(np.hypot(*(points[-1] - points[0])))
    # A closing edge longer than all others may stand for half an outline that is lost.
    if len(points) < 3 or gap > steps.max() * (1 + 1e-9):
        raise BadGeometryError(
            f"has an open outline with a gap of {gap:.0f} px, longer than any of its edges; close it in QuPath"
        )
    oddities.gaps_px.append(gap)
    return np.concatenate([points, points[:1]])


def _valid(shape: Polygon | MultiPolygon, notes: list[str]) -> Polygon | MultiPolygon:
    """Return `shape`, repaired if that changes its area by less than `MAX_REPAIR_SHARE`."""
    if shape.area == 0 and shape.is_valid:
        raise BadGeometryError("has no area")
    if shape.is_valid:
        return shape
    reason = shapely.is_valid_reason(shape)
    if shapely.get_num_coordinates(shape) > MAX_REPAIR_VERTICES:
        raise BadGeometryError(
            f"crosses itself ({reason}) and has more than {MAX_REPAIR_VERTICES:,} vertices; simplify it in QuPath"
        )
    if crosses_too_often(shape):
        raise BadGeometryError(f"crosses itself in more than {MAX_CROSSINGS:,} places ({reason}); redraw it")
    repaired = polygon_parts(fill_even_odd(shape))
    if repaired is None or repaired.area < GRID_PX**2:
        raise BadGeometryError("has no area")
    # The lobes of a bow-tie are inside by both rules of filling. An area that an outline encloses twice is not: the
    # even-odd rule leaves it out, the winding rule of the drawn outline keeps it.
    filled = polygon_parts(fill_non_zero(shape))
    area = 0.0 if filled is None else filled.area
    doubt = abs(repaired.area - area) / max(repaired.area, area)
    if doubt >= MAX_REPAIR_SHARE:
        raise BadGeometryError(
            f"crosses itself ({reason}), and {doubt:.0%} of its area is inside or outside depending on the rule of "
            "filling; redraw it"
        )
    others = [
        f"{other:,.0f} px² {how}"
        for other, how in ((shape.area, "as drawn"), (area, "if what it encloses twice counts as inside"))
        if abs(other - repaired.area) > SAID_SHARE * repaired.area
    ]
    said = f"area now {repaired.area:,.0f} px²" + (f", against {' and '.join(others)}" if others else "")
    _note(notes, f"self-intersecting outline was repaired ({reason}; {said})")
    return repaired


def polygon_parts(shape: shapely.Geometry) -> Polygon | MultiPolygon | None:
    """Return the polygons of any geometry, without its points and lines; None if it has none."""
    # make_valid and intersection return collections that hold multipolygons, hence twice.
    parts = shapely.get_parts(shapely.get_parts(shape))
    flat = [part for part in parts if part.geom_type == "Polygon" and part.area]
    if not flat:
        return None
    return flat[0] if len(flat) == 1 else MultiPolygon(flat)


def clip_to_image(
    shape: Polygon | MultiPolygon, frame: Frame, notes: list[str], *, is_region: bool = True
) -> Polygon | MultiPolygon:
    """Return the part of `shape` inside the image.

    Parameters
    ----------
    shape
        Valid polygon in level-0 pixels.
    frame
        Size of the image.
    notes
        Receives a note if a part was cut off.
    is_region
        Also refuse coordinates that look like longitude and latitude. False for cells: one in the top-left corner of
        the image looks the same.

    Returns
    -------
    Polygon or MultiPolygon
        `shape` itself if it lies inside.

    Raises
    ------
    BadGeometryError
        Nothing of it lies inside, or it looks like longitude and latitude.
    """
    if is_region:
        _refuse_degrees(shape, frame)
    x0, y0, x1, y1 = shape.bounds
    if x0 >= 0 and y0 >= 0 and x1 <= frame.width and y1 <= frame.height:
        return shape
    inside = polygon_parts(shapely.intersection(shape, shapely.box(0, 0, frame.width, frame.height)))
    if inside is None or inside.area < GRID_PX**2:
        raise BadGeometryError(
            f"lies outside the image: x {x0:.0f} to {x1:.0f}, y {y0:.0f} to {y1:.0f}, "
            f"image {frame.width} x {frame.height} px"
        )
    _note(notes, f"part outside the image was cut off ({1 - inside.area / shape.area:.1%} of the area)")
    return inside


def _refuse_degrees(shape: Polygon | MultiPolygon, frame: Frame) -> None:
    if frame.is_pixels or max(frame.width, frame.height) < LONLAT_IMAGE_PX:
        return
    points = shapely.get_coordinates(shape)
    within = (np.abs(points) <= (180, 90)).all()
    # Whole numbers are pixels: a small annotation in the corner of a slide, drawn with the wand or the brush.
    if within and (points != np.rint(points)).any():
        raise BadGeometryError(
            "has coordinates that look like longitude and latitude; export it in pixels of the image"
        )


def snap(shape: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """Return `shape` on QuPath's 0.01 px grid, still valid; unchanged if nothing would be left of it."""
    xy = shapely.get_coordinates(shape)
    # set_precision may start rings at another vertex; a region that is read back and written again must not change.
    if len(xy) and shape.is_valid and np.abs(xy - np.rint(xy / GRID_PX) * GRID_PX).max() < 1e-9:
        return shape
    # Coordinates near the smallest floats make GEOS divide by zero, which changes nothing on this grid.
    with np.errstate(divide="ignore", invalid="ignore"):
        return polygon_parts(shapely.set_precision(shape, GRID_PX)) or shape


def _note(notes: list[str], text: str) -> None:
    if text not in notes:
        notes.append(text)


def _shortened(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
