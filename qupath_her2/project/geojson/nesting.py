"""Every feature of a region file, however it is nested, so that none vanishes without a word.

RFC 7946 knows collections of features alone; files hold collections in collections, arrays in arrays, features in
features (QuPath's ``childObjects``), a feature in place of a geometry, and geometries in place of features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qupath_her2.errors import RegionFileError
from qupath_her2.project.geojson.features import crs_problem

__all__ = ["iterate_features", "top_level_features"]

_GEOMETRIES = (
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
)
_CHILDREN = ("childObjects", "children")
#: Members that make a collection a feature too.
_OF_FEATURES = ("geometry", "nucleusGeometry")


def top_level_features(data: Any, file_name: str) -> tuple[list[Any], str | None]:
    """Return the features of a file in any of its forms, and the problem with its ``crs`` if there is one.

    Parameters
    ----------
    data
        The file as parsed from JSON.
    file_name
        For the message.

    Returns
    -------
    features
        As `iterate_features` takes them.
    problem
        Of the whole file.

    Raises
    ------
    RegionFileError
        The file is not GeoJSON.
    """
    if isinstance(data, list):
        return data, None
    kind = data.get("type") if isinstance(data, dict) else None
    if isinstance(data, dict):
        problem = crs_problem(data)
        if isinstance(data.get("features"), list) and kind in ("FeatureCollection", None):
            rest = {name: value for name, value in data.items() if name != "features"}
            # A position in the file is one in this list, hence what stands beside it comes last.
            is_more = any(rest.get(name) for name in (*_OF_FEATURES, *_CHILDREN))
            return [*data["features"], *([{**rest, "type": "Feature"}] if is_more else [])], problem
        if kind == "Feature" or kind in _GEOMETRIES or isinstance(data.get("features"), list | dict):
            return [data], problem
    raise RegionFileError(
        f"Region file '{file_name}' is JSON but not GeoJSON ({type(data).__name__} of type {kind!r:.60}). "
        "Expected a FeatureCollection, an array of features, a feature or a geometry: "
        "in QuPath, File → Export objects as GeoJSON."
    )


def iterate_features(top_level: list[Any]) -> Iterator[tuple[int, Any, str | None]]:
    """Yield (index in the file, raw feature, problem with the ``crs`` around it), in the order of the file.

    Nested features follow the one that holds them, and share its index. What is no feature comes as it is.
    """
    for index, feature in enumerate(top_level):
        # A stack rather than recursion, as the nesting of a damaged file may exceed Python's limit.
        pending: list[tuple[Any, str | None]] = [(feature, None)]
        while pending:
            item, outer = pending.pop()
            if isinstance(item, list) and item:
                pending.extend((member, outer) for member in reversed(item))
                continue
            if isinstance(item, dict):
                inside = [(member, crs_problem(item) or outer) for member in _nested(item)]
                pending.extend(reversed(inside))
                if not _is_feature(item):
                    continue
                item = _wrapped(item)
            yield index, item, outer


def _is_feature(item: dict[str, Any]) -> bool:
    """Return whether an object is more than a collection of other features."""
    is_collection = item.get("type") == "FeatureCollection" or "features" in item
    is_read = isinstance(item.get("features"), list | dict)
    has_own = item.get("type") == "Feature" or any(item.get(name) is not None for name in _OF_FEATURES)
    return has_own or not (is_collection and is_read)


def _wrapped(item: dict[str, Any]) -> dict[str, Any]:
    """Return a geometry that stands in place of a feature as a feature; any other object as it is."""
    kind = item.get("type")
    if isinstance(kind, str) and kind in _GEOMETRIES and "geometry" not in item:
        return {
            "type": "Feature",
            "geometry": item,
            **{k: item[k] for k in ("id", "properties") if k in item},
        }
    return item


def _nested(item: dict[str, Any]) -> Iterator[Any]:
    """Yield the members of an object that are, or hold, features of their own."""
    if isinstance(item.get("features"), list | dict):
        yield item["features"]
    geometry = item.get("geometry")
    if isinstance(geometry, dict):
        is_typed = geometry.get("type") in ("Feature", "FeatureCollection")
        if is_typed or "geometry" in geometry or "features" in geometry:
            yield geometry
    properties = item.get("properties")
    for holder in (item, properties if isinstance(properties, dict) else {}):
        for key in _CHILDREN:
            children = holder.get(key)
            # An empty list is no loss.
            if isinstance(children, list | dict) and children:
                yield children
