"""GeoJSON features: identity, object type, class and name, in the dialects of QuPath, TIAToolbox and others.

The rules are those of QuPath's own reader (``QuPathTypeAdapters.java``): the type is ``properties.objectType``, else
``object_type``, else ``properties.type``, else the old ``"id": "PathAnnotationObject"``; a class is an object, a list
of names or a string. The ``geojson`` package has no notion of these members, hence a reader of our own.
"""

from __future__ import annotations

import ast
import json
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID, uuid5

from shapely import MultiPolygon, Polygon

from qupath_her2.project.class_names import ClassNames, class_role
from qupath_her2.provenance import canonical_geometry

__all__ = ["Feature", "ObjectType", "crs_problem", "parse_feature", "stable_uuid"]

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
#: Namespace of the UUIDs of features without one. Never change it: results are attached by these UUIDs.
_NAMESPACE = UUID("6f0c8d4e-3a51-5a0e-9d43-4e2b7c1a9f60")
#: Nesting of a classification, and characters of one written as text; more is damage.
_MAX_CLASS_DEPTH, _MAX_CLASS_TEXT = 8, 10_000
_PIXEL_CRS = ("pixel", "image", "local", "none", "undefined", "unknown")


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature with its geometry still unparsed.

    Attributes
    ----------
    index
        0-based position in the file; nested features share that of their parent.
    id, uuid
        The feature's own id as text, and the same as a UUID where it is one; None if it has none.
    object_type, class_name, name
        QuPath's object type, class and name.
    is_locked, is_missing
        Locked in QuPath; a TMA core marked as missing.
    geometry, nucleus
        GeoJSON geometry of the object and of its nucleus, unparsed.
    notes
        Remarks for the user on how the feature was read.
    """

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


def parse_feature(index: int, raw: dict[str, Any], names: ClassNames) -> Feature:
    """Return the properties of a feature; never raises, whatever `raw` contains.

    Parameters
    ----------
    index
        0-based position in the file.
    raw
        The feature as parsed from JSON.
    names
        Class names by role: a feature without a class whose name is one of them takes it as its class.

    Returns
    -------
    Feature
        Its geometry is not yet parsed.
    """
    properties = raw.get("properties")
    if not isinstance(properties, dict):
        properties = {}
    own_id, own_type = _identity(raw.get("id", properties.get("id")))
    object_type = own_type or _object_type(properties)
    class_name = _class_name(properties)
    name = _text(properties.get("name"))
    notes: tuple[str, ...] = ()
    # Other programs put the class into the name. In a file from QuPath, "classification": null means unclassified.
    is_classless = class_name is None and "classification" not in properties
    if is_classless and name and class_role(name, names) != "other":
        class_name, notes = name, (f"its name {name!r} was read as its class",)
    return Feature(
        index=index,
        id=own_id,
        uuid=_uuid(own_id),
        object_type=object_type,
        class_name=class_name,
        name=name,
        is_locked=any(properties.get(key) is True for key in ("isLocked", "is_locked", "locked")),
        is_missing=any(properties.get(key) is True for key in ("isMissing", "is_missing", "missing")),
        geometry=raw.get("geometry"),
        # QuPath 0.2 and earlier wrote the nucleus into the properties; later versions no longer read it from there.
        nucleus=raw.get("nucleusGeometry") or properties.get("nucleusGeometry"),
        notes=notes,
    )


def stable_uuid(feature: Feature, shape: Polygon | MultiPolygon) -> UUID:
    """Return the feature's UUID: its own, else one derived from its id, else from its class and canonical shape."""
    if feature.uuid is not None:
        return feature.uuid
    if feature.id is not None:
        return uuid5(_NAMESPACE, f"id {feature.id}")
    return uuid5(_NAMESPACE, f"{feature.class_name or ''} {canonical_geometry(shape).hex()}")


def crs_problem(holder: object) -> str | None:
    """Return the problem with the ``crs`` member of a feature or collection; None if absent or in pixels."""
    crs = holder.get("crs") if isinstance(holder, dict) else None
    if crs is None:
        return None
    inner = crs.get("properties") if isinstance(crs, dict) else None
    name = _text(inner.get("name") if isinstance(inner, dict) else crs) or "unnamed"
    if any(word in name.casefold() for word in _PIXEL_CRS):
        return None
    return f"is in map projection {name[:60]!r}, not in pixels; export it in pixels, without 'crs'"


def _identity(value: object) -> tuple[str | None, ObjectType | None]:
    """Return (id, type): old versions of QuPath wrote the type in place of the id."""
    text = _text(value)
    if text is None:
        return None, None
    old = _TYPES.get(text.casefold()) if text.endswith("Object") else None
    return (None, old) if old else (text, None)


def _uuid(text: str | None) -> UUID | None:
    # UUID() also accepts braces, "urn:uuid:" and missing dashes; QuPath accepts only the plain form.
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
        # `type` is the object type in old QuPath files, and the class in TIAToolbox files.
        if text and not (key == "type" and text.casefold() in _TYPES):
            return text
    return None


def _class_text(value: object) -> str | None:
    # A loop with a limit: in damaged files a classification may hold itself a thousand times.
    for _ in range(_MAX_CLASS_DEPTH):
        if isinstance(value, str) and value.lstrip().startswith("{"):
            parsed = _parsed_class(value)
            if parsed is None:
                break
            value = parsed
        if not isinstance(value, dict):
            break
        value = value.get("names") or value.get("name")
    if isinstance(value, list):
        return ": ".join(filter(None, map(_text, value))) or None
    return _text(value)


def _parsed_class(text: str) -> dict[str, Any] | None:
    """Return a classification written as text: JSON, or a Python dictionary as ``str()`` of a GeoDataFrame cell."""
    if len(text) > _MAX_CLASS_TEXT:
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        # TypeError: a list as a key of a Python dictionary.
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(value, dict):
            return value
    return None


def _text(value: object) -> str | None:
    """Return a string or number as stripped NFC text of at most 1,000 characters; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    # Cut first: composing 60,000 combining characters takes seconds, as they are sorted by insertion. Lone surrogates
    # are legal in JSON but cannot be encoded in UTF-8.
    text = str(value).strip()[:1000].encode("utf-8", "replace").decode("utf-8")
    return unicodedata.normalize("NFC", text).strip()[:1000] or None
