"""A second, plain reader of region files: counts features wherever they stand, and areas by shapely alone."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shapely
import shapely.geometry
from shapely import Polygon

from qupath_her2.project.geojson.regions import RegionFile
from tests.fuzz.geojson_shapes import SIDE_PX

__all__ = ["deep_recursion", "losses"]

#: Sentences of `RegionFile.notes` on features that are counted, not listed.
_COUNTED = "were left out."
#: Outlines of more vertices take `shapely.make_valid` too long; a region may be cut off at the image by note.
_MOST_VERTICES = 150


def losses(path: Path, found: RegionFile) -> Iterator[str]:
    """Yield sentences on features that vanished, and on areas that changed without a word."""
    with deep_recursion():
        data = json.loads(_content(path))
    objects = list(_objects(data))
    features = [item for item in objects if item.get("type") == "Feature" and not _is_bare_root(item)]
    skipped = [note for note in found.notes if note.endswith(_COUNTED) and note.split(" ", 1)[0].isdecimal()]
    cells = 0 if found.existing_cells is None else len(found.existing_cells)
    named = (found.regions, found.quarantined, found.labels, found.cores, found.missing_cores)
    accounted = sum(map(len, named)) + cells + sum(int(note.split(" ", 1)[0]) for note in skipped)
    if accounted < len(features):
        yield f"{len(features) - accounted} of {len(features)} features vanished"
    said = " ".join((*found.repairs, *found.notes))
    areas = {round(area, 1) for item in objects for area in _areas(item)}
    for region in (*found.regions, *found.labels, *found.cores):
        area = region.geometry.area
        is_known = any(abs(area - other) <= 0.001 * max(area, other) + 0.2 for other in areas)
        if not is_known and "repaired" not in said and "cut off" not in said:
            yield f"a region of {area:.1f} px² stands nowhere in the file: {sorted(areas)[:5]}"
        if not region.geometry.is_valid:
            yield "a region is not valid"


@contextlib.contextmanager
def deep_recursion() -> Iterator[None]:
    """Let ``json`` write and read what is nested deeper than Python's usual limit."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


def _content(path: Path) -> str:
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    elif raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            raw = archive.read(archive.namelist()[0])
    return raw.decode("utf-8-sig")


def _objects(data: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a place where features stand, however deep and of whatever type."""
    pending = [data]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        if not isinstance(item, dict):
            continue
        yield item
        properties = item.get("properties")
        holders = [item, properties] if isinstance(properties, dict) else [item]
        places = [(item, "features"), *((h, key) for h in holders for key in ("childObjects", "children"))]
        pending.extend(holder.get(key) for holder, key in places)
        geometry = item.get("geometry")
        # Within a collection of geometries they are part of a geometry that is set aside as a whole.
        if isinstance(geometry, dict) and geometry.get("type") in ("Feature", "FeatureCollection"):
            pending.append(geometry)


def _is_bare_root(item: dict[str, Any]) -> bool:
    """Return whether an object may be the root of QuPath's hierarchy, which without an outline is no loss."""
    return (
        not item.get("geometry") and "root" in json.dumps([item.get("properties"), item.get("id")]).casefold()
    )


def _without_empty_entries(geometry: Any) -> Any:
    """Return a geometry whose collections hold objects alone: shapely rejects them for one entry of ``[]``."""
    if not isinstance(geometry, dict) or not isinstance(geometry.get("geometries"), list):
        return geometry
    parts = [_without_empty_entries(part) for part in geometry["geometries"] if isinstance(part, dict)]
    return {**geometry, "geometries": parts}


def _areas(feature: dict[str, Any]) -> Iterator[float]:
    """Yield the area of an object's geometry, and of its part in the image: where invalid, by `make_valid`."""
    try:
        shape = shapely.geometry.shape(_without_empty_entries(feature.get("geometry", feature)))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, shapely.errors.ShapelyError):
        # Not GeoJSON to shapely; what we make of it is checked by its validity alone.
        return
    if not shape.is_valid and shapely.get_num_coordinates(shape) > _MOST_VERTICES:
        return
    frame = Polygon([(0, 0), (SIDE_PX, 0), (SIDE_PX, SIDE_PX), (0, SIDE_PX)])
    try:
        fixed = shape if shape.is_valid else shapely.make_valid(shape)
        yield fixed.area
        yield shapely.intersection(fixed, frame).area
    except shapely.errors.ShapelyError:
        # NaN, 1e308, or polygons with lines in one collection.
        return
