"""From GeoJSON geometry to a valid polygon inside the image, or the reason why not.

Strict where a mistake would move or change the scored area, lenient where nothing is lost: QuPath 0.6 and
later refuse a whole file for one self-intersecting or open ring, so we say which feature it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

__all__ = ["BadGeometryError", "Frame", "clip_to_image", "parse_polygon", "polygon_parts", "snap"]

#: A self-intersection is repaired where the repair changes the area by less than this share.
MAX_REPAIR_SHARE = 0.01
#: More vertices than this in one feature is taken for damage: 40 times the densest pixel-traced slide outline
#: met.
MAX_VERTICES = 4_000_000
#: Images at least this wide or high cannot be covered by coordinates that all fit longitude and latitude.
LONLAT_IMAGE_PX = 2000
#: QuPath's coordinate grid (0.6 and later).
GRID_PX = 0.01

_POLYGON_TYPES = ("Polygon", "MultiPolygon")


class BadGeometryError(ValueError):
    """A geometry that cannot be a region; its text is the reason, for the quarantine list."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The image the geometry lies in: width and height in level-0 pixels."""

    width: int
    height: int


def parse_polygon(geometry: object) -> tuple[Polygon | MultiPolygon, list[str]]:
    """Return a valid polygon or multipolygon with holes kept, and notes on what was mended.

    Parameters
    ----------
    geometry
        The ``geometry`` member as read from JSON.

    Raises
    ------
    BadGeometryError
        With the reason: no polygon, another plane of a stack, empty, open ring, NaN, height above the image
        plane, self-intersection whose repair would change the area by 1 % or more.
    """
    if not isinstance(geometry, dict):
        raise BadGeometryError("has no geometry")
    kind = geometry.get("type")
    if kind not in _POLYGON_TYPES:
        raise BadGeometryError(f"is a {_brief(kind)}, which has no area; draw a polygon or use the brush")
    _refuse_other_plane(geometry.get("plane"))
    coordinates = geometry.get("coordinates")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(parts, list) or not parts or not all(isinstance(part, list) for part in parts):
        raise BadGeometryError("has empty or missing coordinates")
    notes: list[str] = []
    polygons = [_polygon(part, notes) for part in parts]
    if sum(shapely.get_num_coordinates(polygon) for polygon in polygons) > MAX_VERTICES:
        raise BadGeometryError(f"has more than {MAX_VERTICES:,} vertices; simplify it in QuPath")
    shape = polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
    return _valid(shape, notes), notes


def _refuse_other_plane(plane: object) -> None:
    """Refuse what QuPath notes as drawn on another slice of a stack: the pixels below it are not those scored."""
    numbers = {key: plane.get(key) for key in ("z", "t")} if isinstance(plane, dict) else {}
    if any(numbers.values()):
        where = ", ".join(f"{key} = {_brief(value)}" for key, value in numbers.items())
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
        # A height of zero says nothing; any other height means that these are not flat pixel coordinates.
        if points[:, 2].any():
            raise BadGeometryError("is three-dimensional; export it as flat pixel coordinates (x, y)")
        points = points[:, :2]
        _note(notes, "third coordinate of zero was dropped")
    if np.abs(points).max() > 1e9:
        raise BadGeometryError(f"has a coordinate of {np.abs(points).max():.3g}, far beyond any image")
    if not (points[0] == points[-1]).all():
        # Whether only the last point is missing or half the outline, nobody can tell from here.
        raise BadGeometryError(
            "has an open outline; repeat its first point as its last (QuPath refuses it too)"
        )
    if len(points) < 4:
        raise BadGeometryError(f"has an outline of {len(points)} points; a closed one needs at least 4")
    return points


def _valid(shape: Polygon | MultiPolygon, notes: list[str]) -> Polygon | MultiPolygon:
    """Return `shape`, repaired where that hardly changes its area."""
    if shape.area == 0 and shape.is_valid:
        raise BadGeometryError("has no area")
    if shape.is_valid:
        return shape
    reason = shapely.is_valid_reason(shape)
    mended = polygon_parts(shapely.make_valid(shape))
    drawn = _signed_area(shape)
    if mended is None or mended.area < GRID_PX**2:
        raise BadGeometryError("has no area")
    change = abs(mended.area - drawn) / mended.area
    if change >= MAX_REPAIR_SHARE:
        raise BadGeometryError(
            f"crosses itself ({reason}) and a repair would change its area by {change:.0%}; redraw it"
        )
    _note(notes, f"outline that crosses or touches itself was repaired ({reason}; area {change:.2%} off)")
    return mended


def _signed_area(shape: Polygon | MultiPolygon) -> float:
    """Return outer minus inner shoelace area: a figure of eight cancels itself out, a sound one does not."""
    total = 0.0
    for polygon in getattr(shape, "geoms", [shape]):
        rings = (polygon.exterior, *polygon.interiors)
        areas = [abs(_shoelace(shapely.get_coordinates(ring))) for ring in rings]
        total += areas[0] - sum(areas[1:])
    return total


def _shoelace(points: NDArray[np.float64]) -> float:
    x, y = (points - points[0]).T
    return float(0.5 * (x[:-1] * y[1:] - x[1:] * y[:-1]).sum())


def polygon_parts(shape: shapely.Geometry) -> Polygon | MultiPolygon | None:
    """Return the polygons of any geometry, without its points and lines; None where there are none."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    flat = [part for part in parts if part.geom_type == "Polygon" and part.area]
    if not flat:
        return None
    return flat[0] if len(flat) == 1 else MultiPolygon(flat)


def clip_to_image(
    shape: Polygon | MultiPolygon, frame: Frame, notes: list[str], *, is_region: bool = True
) -> Polygon | MultiPolygon:
    """Return the part of `shape` inside the image; BadGeometryError where that is nothing.

    `is_region` also refuses what looks like longitude and latitude; a cell in the image's corner may look so.
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
    if max(frame.width, frame.height) < LONLAT_IMAGE_PX:
        return
    points = shapely.get_coordinates(shape)
    within = (np.abs(points) <= (180, 90)).all()
    if within and (points != np.rint(points)).any():
        raise BadGeometryError(
            "has coordinates that look like longitude and latitude; export it in pixels of the image"
        )


def snap(shape: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """Return `shape` on QuPath's 0.01 px grid, still valid; itself where the grid would leave nothing."""
    xy = shapely.get_coordinates(shape)
    # GEOS starts rings elsewhere each time, and a region read back and written again must be the same bytes.
    if len(xy) and shape.is_valid and np.abs(xy - np.rint(xy / GRID_PX) * GRID_PX).max() < 1e-9:
        return shape
    return polygon_parts(shapely.set_precision(shape, GRID_PX)) or shape


def _note(notes: list[str], text: str) -> None:
    if text not in notes:
        notes.append(text)


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
