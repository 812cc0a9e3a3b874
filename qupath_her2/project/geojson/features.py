"""What a GeoJSON feature says of itself.

Read are the spellings of every QuPath version, of TIAToolbox and of plain GeoJSON. QuPath's own reading rules
(``QuPathTypeAdapters.java``): type from ``properties.objectType``, else ``object_type``, else
``properties.type``, else the old ``"id": "PathAnnotationObject"``; a class as object, list of names or text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID, uuid5

from shapely import MultiPolygon, Polygon

from qupath_her2.project.class_names import ClassNames, class_role
from qupath_her2.provenance import canonical_geometry

__all__ = ["Feature", "ObjectType", "crs_problem", "describe", "stable_uuid", "walk"]

ObjectType = Literal["annotation", "detection", "cell", "tile", "tma_core", "root"]

_TYPES: dict[str, ObjectType] = {
    "annotation": "annotation",
    "detection": "detection",
    "cell": "cell",
    "tile": "tile",
    "tma_core": "tma_core",
    "tmacore": "tma_core",
    "root": "root",
    "pathannotationobject": "annotation",
    "pathdetectionobject": "detection",
    "pathcellobject": "cell",
    "pathtileobject": "tile",
    "tmacoreobject": "tma_core",
    "pathrootobject": "root",
}
_CLASS_KEYS = ("class", "label", "type", "category", "class_name", "classification_name")
#: Namespace of UUIDs for features that have none; fixed for ever, since results are attached by them.
_NAMESPACE = UUID("6f0c8d4e-3a51-5a0e-9d43-4e2b7c1a9f60")
_PIXEL_CRS = ("pixel", "image", "local", "none", "undefined", "unknown")


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature before its geometry is judged; `id` is its own id as text, None where it has none."""

    index: int
    id: str | None
    uuid: UUID | None
    object_type: ObjectType
    class_name: str | None
    name: str | None
    is_locked: bool
    is_missing: bool
    geometry: Any
    nucleus: Any
    notes: tuple[str, ...] = ()


def walk(top_level: list[Any]) -> Iterator[tuple[int, Any]]:
    """Yield (index in the file, feature) with nested children after their parent, which shares its index."""
    for index, feature in enumerate(top_level):
        pending = [feature]
        while pending:
            item = pending.pop()
            yield index, item
            if isinstance(item, dict):
                for holder in (item, item.get("properties")):
                    for key in ("childObjects", "children"):
                        children = holder.get(key) if isinstance(holder, dict) else None
                        pending.extend(reversed(children) if isinstance(children, list) else ())


def describe(index: int, raw: dict[str, Any], names: ClassNames) -> Feature:
    """Return what the feature says of itself; never raises, whatever `raw` holds."""
    properties = raw.get("properties")
    if not isinstance(properties, dict):
        properties = {}
    own_id, own_type = _identity(raw.get("id", properties.get("id")))
    object_type = own_type or _object_type(properties)
    class_name = _class_name(properties)
    name = _text(properties.get("name"))
    notes: tuple[str, ...] = ()
    is_plain = class_name is None and "classification" not in properties
    if is_plain and name and class_role(name, names) != "other":
        class_name, notes = name, (f"its name {name!r} was read as its class",)
    return Feature(
        index=index,
        id=own_id,
        uuid=_uuid(own_id),
        object_type=object_type,
        class_name=class_name,
        name=name,
        is_locked=any(properties.get(key) is True for key in ("isLocked", "is_locked", "locked")),
        is_missing=properties.get("isMissing") is True,
        geometry=raw.get("geometry"),
        # 0.2 and earlier wrote the nucleus among the properties; QuPath itself no longer finds it there.
        nucleus=raw.get("nucleusGeometry") or properties.get("nucleusGeometry"),
        notes=notes,
    )


def stable_uuid(feature: Feature, shape: Polygon | MultiPolygon) -> UUID:
    """Return the feature's UUID: its own, else made from its id, else from its canonical shape and class."""
    if feature.uuid is not None:
        return feature.uuid
    if feature.id is not None:
        return uuid5(_NAMESPACE, f"id {feature.id}")
    return uuid5(_NAMESPACE, f"{feature.class_name or ''} {canonical_geometry(shape).hex()}")


def crs_problem(holder: object) -> str | None:
    """Return why the ``crs`` member of a feature or collection is wrong; None where it means pixels."""
    crs = holder.get("crs") if isinstance(holder, dict) else None
    if crs is None:
        return None
    inner = crs.get("properties") if isinstance(crs, dict) else None
    name = _text(inner.get("name") if isinstance(inner, dict) else crs) or "unnamed"
    if any(word in name.casefold() for word in _PIXEL_CRS):
        return None
    return f"is in the map projection {name[:60]!r}, not in pixels; export it in pixels, without 'crs'"


def _identity(value: object) -> tuple[str | None, ObjectType | None]:
    """Return (id, type): old QuPath wrote the type where the id belongs."""
    text = _text(value)
    if text is None:
        return None, None
    old = _TYPES.get(text.casefold()) if text.endswith("Object") else None
    return (None, old) if old else (text, None)


def _uuid(text: str | None) -> UUID | None:
    # UUID() also takes braces, "urn:uuid:" and no dashes; QuPath takes the plain form alone.
    if text is None or len(text) != 36:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def _object_type(properties: dict[str, Any]) -> ObjectType:
    for key in ("objectType", "object_type", "type"):
        value = properties.get(key)
        if isinstance(value, str) and value.casefold() in _TYPES:
            return _TYPES[value.casefold()]
    return "annotation"


def _class_name(properties: dict[str, Any]) -> str | None:
    if "classification" in properties:
        return _class_text(properties["classification"])
    for key in _CLASS_KEYS:
        text = _class_text(properties.get(key))
        # In QuPath's old files `type` is the kind of object; in TIAToolbox's it is the class.
        if text and not (key == "type" and text.casefold() in _TYPES):
            return text
    return None


def _class_text(value: object) -> str | None:
    if isinstance(value, dict):
        return _class_text(value.get("names") or value.get("name"))
    if isinstance(value, list):
        return ": ".join(filter(None, map(_text, value))) or None
    return _text(value)


def _text(value: object) -> str | None:
    """Return text or a number as clean text of at most 1,000 characters; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    # Lone surrogates are legal in JSON and in nothing that we write.
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return unicodedata.normalize("NFC", text).strip()[:1000] or None
