"""GeoJSON geometry to valid polygons inside the image.

Strict where a mistake would change the scored area, lenient where nothing is lost. QuPath 0.6 and later refuse a whole
file for one self-intersecting or open ring, so the errors here are per feature. The checks are our own because those
of the ``geojson`` package run over single coordinates in Python (12 times slower at 200,000 vertices) and know neither
self-intersections nor images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

__all__ = ["BadGeometryError", "Frame", "clip_to_image", "parse_polygon", "polygon_parts", "snap"]

#: A self-intersection is repaired if less than this share of its area depends on the rule of filling.
MAX_REPAIR_SHARE = 0.01
#: More vertices than this in one feature are taken for damage: it is 40 times the densest pixel-traced outline
#: seen so far.
MAX_VERTICES = 4_000_000
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
    notes: list[str] = []
    parts = list(_polygon_coordinates(geometry, notes))
    if not parts:
        kind = _shortened(geometry.get("type"))
        raise BadGeometryError(f"is a {kind}, which has no area; draw a polygon or use the brush")
    polygons = [_polygon(part, notes) for part in parts]
    if sum(shapely.get_num_coordinates(polygon) for polygon in polygons) > MAX_VERTICES:
        raise BadGeometryError(f"has more than {MAX_VERTICES:,} vertices; simplify it in QuPath")
    shape = polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
    return _valid(shape, notes), notes


def _polygon_coordinates(geometry: dict[str, Any], notes: list[str]) -> Iterator[list[Any]]:
    """Yield the rings of each polygon of a geometry; points and lines of a collection are left out, with a note."""
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
        elif item is not geometry:
            _note(notes, f"a {_shortened(kind)} in its collection has no area and was left out")


def _refuse_other_plane(plane: object) -> None:
    """Refuse annotations on another plane of a stack: the pixels beneath them are not the ones that are scored."""
    numbers = {key: plane.get(key) for key in ("z", "t")} if isinstance(plane, dict) else {}
    if any(numbers.values()):
        where = ", ".join(f"{key} = {_shortened(value)}" for key, value in numbers.items())
        raise BadGeometryError(
            f"lies on another plane ({where}) than the first, which is scored; draw it there"
        )


def _polygon(rings: list[Any], notes: list[str]) -> Polygon:
    if not rings:
        raise BadGeometryError("is empty")
    arrays = [_ring(ring, notes) for ring in rings]
    return Polygon(arrays[0], arrays[1:])


def _ring(ring: object, notes: list[str]) -> NDArray[np.float64]:
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
        _note(notes, "third coordinate of zero was dropped")
    if np.abs(points).max() > 1e9:
        raise BadGeometryError(f"has a coordinate of {np.abs(points).max():.3g}, far beyond any image")
    if not (points[0] == points[-1]).all():
        points = _closed(points, notes)
    if len(points) < 4:
        raise BadGeometryError(f"has an outline of {len(points)} points; a closed one needs at least 4")
    return points


def _closed(points: NDArray[np.float64], notes: list[str]) -> NDArray[np.float64]:
    """Return an open ring with its first point repeated, if only that is missing, as QuPath 0.5 closed it."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    gap = float(np.hypot(*(points[-1] - points[0])))
    # A closing edge longer than all others may stand for half an outline that is lost.
    if len(points) < 3 or gap > steps.max() * (1 + 1e-9):
        raise BadGeometryError(
            f"has an open outline with a gap of {gap:.0f} px, longer than any of its edges; close it in QuPath"
        )
    _note(notes, f"open outline was closed (gap of {gap:.1f} px)")
    return np.concatenate([points, points[:1]])


def _valid(shape: Polygon | MultiPolygon, notes: list[str]) -> Polygon | MultiPolygon:
    """Return `shape`, repaired if that changes its area by less than `MAX_REPAIR_SHARE`."""
    if shape.area == 0 and shape.is_valid:
        raise BadGeometryError("has no area")
    if shape.is_valid:
        return shape
    reason = shapely.is_valid_reason(shape)
    repaired = polygon_parts(shapely.make_valid(shape))
    if repaired is None or repaired.area < GRID_PX**2:
        raise BadGeometryError("has no area")
    # The lobes of a bow-tie are inside by both rules of filling. An area that an outline encloses twice is not: the
    # even-odd rule of make_valid leaves it out, the winding rule of the drawn outline keeps it.
    filled = polygon_parts(_filled_by_winding(shape))
    area = 0.0 if filled is None else filled.area
    doubt = abs(repaired.area - area) / max(repaired.area, area)
    if doubt >= MAX_REPAIR_SHARE:
        raise BadGeometryError(
            f"crosses itself ({reason}), and {doubt:.0%} of its area is inside or outside depending on the rule of "
            "filling; redraw it"
        )
    _note(notes, f"self-intersecting outline was repaired ({reason}; area now {repaired.area:,.0f} px²)")
    return repaired


def _filled_by_winding(shape: Polygon | MultiPolygon) -> shapely.Geometry:
    """Return the area that the outlines of a shape wind around at least once, less that of its holes."""
    parts = []
    for polygon in getattr(shape, "geoms", [shape]):
        outer = _ring_area(polygon.exterior)
        holes = shapely.union_all([_ring_area(ring) for ring in polygon.interiors])
        parts.append(shapely.difference(outer, holes))
    return shapely.union_all(parts)


def _ring_area(ring: shapely.LinearRing) -> shapely.Geometry:
    """Return all faces that a ring encloses, however often it crosses itself."""
    noded = shapely.union_all(shapely.LineString(ring.coords))
    faces = shapely.get_parts(shapely.polygonize([noded]))
    # A face that the ring surrounds without winding around it is a hole between strands.
    points = [shapely.point_on_surface(face) for face in faces]
    xy = np.asarray(ring.coords)[:, :2]
    wound = [face for face, point in zip(faces, points, strict=True) if _winding_number(xy, point.x, point.y)]
    return shapely.union_all(wound)


def _winding_number(ring: NDArray[np.float64], x: float, y: float) -> int:
    """Return how often a closed ring, float64 (K, 2), winds around a point that is not on it."""
    (x0, y0), (x1, y1) = ring[:-1].T, ring[1:].T
    is_left = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
    upward = (y0 <= y) & (y1 > y) & (is_left > 0)
    downward = (y0 > y) & (y1 <= y) & (is_left < 0)
    return int(upward.sum()) - int(downward.sum())


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
