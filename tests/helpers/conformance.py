"""Reference files of tests/data/conformance: paths, the objects drawn in them, and comparison of GeoJSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import shape

FOLDER = Path(__file__).parents[1] / "data" / "conformance"
EXCHANGE = FOLDER / "exchange"
#: QuPath versions that wrote a set of reference files.
VERSIONS = sorted(folder.name for folder in FOLDER.iterdir() if (folder / "project").is_dir())
FILES = ("array.geojson", "collection.geojson", "nested.geojson")
WIDTH, HEIGHT = 200, 160
#: {(kind, number) of a nested object: that of its parent}.
PARENTS = {(1, 2): (1, 1), (1, 3): (1, 2), (2, 1): (1, 1), (2, 2): (1, 1), (2, 3): (1, 1), (2, 4): (1, 1)}


def object_id(kind: int, number: int) -> str:
    """The UUID that make_conformance.groovy assigns; kind 1: annotations, 2: detections, 3: TMA cores."""
    return f"{kind}0000000-0000-4000-8000-{number:012d}"


def features(path: Path) -> dict[str, dict[str, Any]]:
    """Features by id, including nested ones."""
    content = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = {}
    pending = content if isinstance(content, list) else content["features"]
    while pending:
        children = [f["properties"].pop("childObjects", []) for f in pending]
        found |= {feature["id"]: feature for feature in pending}
        pending = [child for group in children for child in group]
    return found


def parents(path: Path) -> dict[str, str]:
    """{child id: parent id} of a file with nested features."""
    found = {}
    pending = json.loads(path.read_text(encoding="utf-8"))["features"]
    while pending:
        feature = pending.pop()
        children = feature["properties"].get("childObjects", [])
        found |= {child["id"]: feature["id"] for child in children}
        pending.extend(children)
    return found


def same_shape(one: Any, other: Any) -> bool:
    """Whether two geometries have the same vertices, regardless of where their rings start."""
    return bool(shapely.equals_exact(shapely.normalize(one), shapely.normalize(other), 1e-9))


def differences(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> list[str]:
    """The differences of two files, by id and member, regardless of where rings start."""
    found = [f"{key} is in one file only" for key in one.keys() ^ other.keys()]
    for key in one.keys() & other.keys():
        a, b = dict(one[key]), dict(other[key])
        for member in ("geometry", "nucleusGeometry"):
            own, theirs = a.pop(member, None), b.pop(member, None)
            if own is None or theirs is None:
                found += [f"{key} {member}: {own} {theirs}"] if own != theirs else []
                continue
            # Besides coordinates, a geometry has its plane and a flag for ellipses.
            others = [{k: v for k, v in g.items() if k != "coordinates"} for g in (own, theirs)]
            if others[0] != others[1] or not same_shape(shape(own), shape(theirs)):
                found.append(f"{key} {member}: {own} {theirs}")
        if a != b:
            found.append(f"{key}: {a} {b}")
    return found
