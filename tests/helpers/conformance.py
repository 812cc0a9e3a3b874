"""What lies in tests/data/conformance, what was drawn, and whether two GeoJSON files of QuPath say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import shape

FOLDER = Path(__file__).parents[1] / "data" / "conformance"
EXCHANGE = FOLDER / "exchange"
#: The QuPath versions that wrote a set.
VERSIONS = sorted(folder.name for folder in FOLDER.iterdir() if (folder / "project").is_dir())
FILES = ("array.geojson", "collection.geojson", "nested.geojson")
WIDTH, HEIGHT = 200, 160
#: Parents of the nested objects, by number.
PARENTS = {(1, 2): (1, 1), (1, 3): (1, 2), (2, 1): (1, 1), (2, 2): (1, 1), (2, 3): (1, 1), (2, 4): (1, 1)}


def object_id(kind: int, number: int) -> str:
    """The UUID that make_conformance.groovy gives: kind 1 annotations, 2 detections, 3 TMA cores."""
    return f"{kind}0000000-0000-4000-8000-{number:012d}"


def features(path: Path) -> dict[str, dict[str, Any]]:
    """Features by id, nested ones too."""
    content = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = {}
    pending = content if isinstance(content, list) else content["features"]
    while pending:
        children = [f["properties"].pop("childObjects", []) for f in pending]
        found |= {feature["id"]: feature for feature in pending}
        pending = [child for group in children for child in group]
    return found


def parents(path: Path) -> dict[str, str]:
    """Parent by child, of a file whose features are nested."""
    found = {}
    pending = json.loads(path.read_text(encoding="utf-8"))["features"]
    while pending:
        feature = pending.pop()
        children = feature["properties"].get("childObjects", [])
        found |= {child["id"]: feature["id"] for child in children}
        pending.extend(children)
    return found


def same_shape(one: Any, other: Any) -> bool:
    """Whether two geometries are vertex by vertex the same, wherever their rings begin."""
    return bool(shapely.equals_exact(shapely.normalize(one), shapely.normalize(other), 1e-9))


def differences(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> list[str]:
    """What two files say differently, each by id and member; where a ring begins says nothing."""
    found = [f"{key} is in one file alone" for key in one.keys() ^ other.keys()]
    for key in one.keys() & other.keys():
        a, b = dict(one[key]), dict(other[key])
        for member in ("geometry", "nucleusGeometry"):
            own, theirs = a.pop(member, None), b.pop(member, None)
            if own is None or theirs is None:
                found += [f"{key} {member}: {own} {theirs}"] if own != theirs else []
                continue
            # Beside coordinates a geometry says its plane and whether it is an ellipse.
            said = [{k: v for k, v in g.items() if k != "coordinates"} for g in (own, theirs)]
            if said[0] != said[1] or not same_shape(shape(own), shape(theirs)):
                found.append(f"{key} {member}: {own} {theirs}")
        if a != b:
            found.append(f"{key}: {a} {b}")
    return found
