"""Region files, drawn whole and then damaged: every feature is read, counted or set aside, in bounded time.

The oracle (`tests.fuzz.geojson_oracle`) parses each file with ``json`` alone, and counts features wherever they stand.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import time
import zipfile
from pathlib import Path
from typing import Any

from qupath_her2.project.folder import find_images
from qupath_her2.project.geojson.regions import read_regions
from tests.fuzz.geojson_oracle import deep_recursion, losses
from tests.fuzz.geojson_shapes import SIDE_PX, draw_geometry
from tests.fuzz.report import FuzzReport, Outcome, run_cases

__all__ = ["check", "draw", "run"]

_MOST_BYTES = 20_000_000

_CLASSES = ("Tumor", "Stroma", "Ignore*", "Tumor: 3+", "DCIS", "Control", None, "", "Other")
_TYPES = ("annotation", "cell", "detection", "tile", "tmaCore", "root", "PathAnnotationObject", "Feature")
_ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    -1e-308,
    10**30,
    float("nan"),
    float("inf"),
    "",
    "x",
    "1",
    [],
    {},
    [[]],
)
_LONG = (
    "\u0315" * 3000 + "\u0316" * 3000,
    "a" * 100_000,
    "=cmd|calc",
    "<script>",
    "\u202e",
    "\ud800",
    "\x00",
    "../../x",
)


def draw(rng: random.Random, folder: Path) -> str:
    """Write one damaged region file."""
    with deep_recursion():
        raw, how = _content(rng)
    name = _write(rng, folder, raw)
    return ", ".join(dict.fromkeys([*how, name]))


def _content(rng: random.Random) -> tuple[bytes, list[str]]:
    """Return the text of a file, and what was done to it."""
    features = [_feature(rng, depth=0) for _ in range(rng.choice((0, 1, 2, 5, 20)))]
    data, nesting = _arranged(rng, features)
    damages = []
    for _ in range(rng.choice((0, 0, 1, 1, 3, 10))):
        damages.append(_damage(rng, data))
    raw, text = _text_damage(rng, _bounded_json(data))
    return raw, [nesting, *damages, text]


def _bounded_json(data: Any) -> bytes:
    """Return JSON, cut off at `_MOST_BYTES`."""
    # Swapping and doubling may multiply a file without end; a large one takes long without being odd.
    parts, size = [], 0
    for part in json.JSONEncoder().iterencode(data):
        parts.append(part)
        size += len(part)
        if size > _MOST_BYTES:
            break
    return "".join(parts).encode("utf-8", "surrogatepass")[:_MOST_BYTES]


def _feature(rng: random.Random, depth: int) -> dict[str, Any]:
    properties: dict[str, Any] = {"classification": _class(rng)}
    if rng.random() < 0.5:
        properties["objectType"] = rng.choice(_TYPES)
    if rng.random() < 0.2:
        properties["name"] = rng.choice(("Tumor", "a", *_LONG))
    if rng.random() < 0.05:
        properties["isMissing"] = True
    feature = {"type": "Feature", "geometry": draw_geometry(rng), "properties": properties}
    if rng.random() < 0.3:
        feature["id"] = rng.choice(
            ("PathAnnotationObject", str(rng.random()), f"{rng.getrandbits(128):032x}", 5, "same")
        )
    if rng.random() < 0.1:
        feature["nucleusGeometry"] = draw_geometry(rng)
    if rng.random() < 0.05:
        name = rng.choice(("EPSG:3857", "pixels", "", 5))
        feature["crs"] = {"type": "name", "properties": {"name": name}}
    if depth < 3 and rng.random() < 0.15:
        holder = rng.choice((feature, properties))
        children: Any = [_feature(rng, depth + 1) for _ in range(rng.choice((0, 1, 3)))]
        holder[rng.choice(("childObjects", "children"))] = (
            children if rng.random() < 0.8 else {"features": children}
        )
    return feature


def _class(rng: random.Random) -> Any:
    name: Any = rng.choice(_CLASSES)
    form = rng.randrange(7)
    if form == 1:
        return name
    if form == 2:
        return {"names": [name, "Positive"]}
    if form == 3:
        return json.dumps({"name": name})
    if form == 4:
        return rng.choice((str({"name": name}), "{[1]: 2}", "{{}}", "{" * 5000, "{1:" + "-" * 9000 + "1}"))
    if form == 5:
        for _ in range(rng.choice((1, 30, 800))):
            name = {"name": name}
        return name
    return {"name": name, "color": [255, 0, 0]}


def _arranged(rng: random.Random, features: list[Any]) -> tuple[Any, str]:
    """Return the content of a file that holds these features in one of many arrangements, and its name."""
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    name = rng.choice(
        (
            "collection",
            "collection",
            "list",
            "nested",
            "lists",
            "in feature",
            "one",
            "geometries",
            "deep",
            "mixed",
        )
    )
    if name == "list":
        return features, name
    if name == "nested":
        half = len(features) // 2
        inner = {"type": "FeatureCollection", "features": features[half:]}
        if rng.random() < 0.3:
            inner["crs"] = {"properties": {"name": "EPSG:4326"}}
        return {**collection, "features": [*features[:half], inner]}, name
    if name == "lists":
        return [[feature] for feature in features] + [[features[:1]]], name
    if name == "in feature":
        return {**_feature(rng, 3), "features": features}, name
    if name == "one":
        return (features[0] if features else {}), name
    if name == "geometries":
        return {**collection, "features": [feature["geometry"] for feature in features]}, name
    if name == "deep":
        deep: Any = features
        for _ in range(rng.choice((10, 200, 900, 3000))):
            deep = [deep] if rng.random() < 0.1 else {"type": "FeatureCollection", "features": [deep]}
            # json itself writes nesting up to Python's limit of recursion.
            if len(json.dumps(deep)) > 20_000:
                break
        return deep, name
    if name == "mixed":
        mixed = [*features, *rng.sample(_ODD, 3), {"type": "Feature", "geometry": _feature(rng, 3)}]
        return {**collection, "features": mixed, "geometry": draw_geometry(rng)}, name
    return collection, name


def _damage(rng: random.Random, data: Any) -> str:
    """Change one value somewhere in the parsed file."""
    holders: list[Any] = []
    pending = [data]
    while pending:
        item = pending.pop()
        if isinstance(item, dict | list) and item:
            holders.append(item)
            pending.extend(item.values() if isinstance(item, dict) else item)
    if not holders:
        return "nothing to damage"
    holder = rng.choice(holders)
    key: Any = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    kind = rng.choice(("odd value", "removed", "doubled", "wrapped", "long text", "swapped", "as text"))
    if kind == "odd value":
        holder[key] = rng.choice(_ODD)
    elif kind == "removed":
        del holder[key]
    elif kind == "doubled" and isinstance(holder, list):
        holder.extend([holder[key]] * rng.choice((1, 3, 300)))
    elif kind == "wrapped":
        holder[key] = rng.choice(
            ([holder[key]], {"type": "Feature", "geometry": holder[key]}, {"features": holder[key]})
        )
    elif kind == "long text":
        holder[key] = rng.choice(_LONG)
    elif kind == "swapped":
        other = rng.choice(holders)
        other_key: Any = rng.choice(list(other)) if other and isinstance(other, dict) else None
        # A copy, since a value that holds itself has no JSON.
        if other_key is not None:
            other[other_key] = json.loads(json.dumps(holder[key]))
    else:
        holder[key] = json.dumps(holder[key])
    return kind


def _text_damage(rng: random.Random, raw: bytes) -> tuple[bytes, str]:
    kind = rng.choice(
        ("", "", "", "", "cut", "byte", "BOM", "UTF-16", "latin-1", "doubled key", "digits", "space")
    )
    if kind == "cut":
        return raw[: rng.randrange(len(raw) + 1)], kind
    if kind == "byte" and raw:
        at = rng.randrange(len(raw))
        return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :], kind
    if kind == "BOM":
        return b"\xef\xbb\xbf" + raw, kind
    if kind == "UTF-16":
        return raw.decode("utf-8", "replace").encode("utf-16"), kind
    if kind == "latin-1":
        return raw.replace(b"Tumor", "Tümör".encode("latin-1")), kind
    if kind == "doubled key":
        return raw.replace(b'"features": ', b'"features": [], "features": ', 1), kind
    if kind == "digits":
        return raw.replace(b".0", b"." + b"0" * rng.choice((10, 5000)) + b"1", 3), kind
    if kind == "space":
        return raw.replace(b" ", b" " * 50), kind
    return raw, kind


def _write(rng: random.Random, folder: Path, raw: bytes) -> str:
    """Write the region file, mostly as a file, and return how."""
    kind = rng.choices(
        ("plain", "gz", "zip", "named gz", "bomb", "cut gz", "pipe", "folder", "link", "loop"),
        (80, 6, 4, 2, 0.3, 1, 0.7, 1, 1, 1),
    )[0]
    path = folder / ("case.geojson.gz" if kind == "named gz" else "case.geojson")
    if kind in ("gz", "cut gz"):
        packed = gzip.compress(raw)
        path.write_bytes(packed[: rng.randrange(len(packed))] if kind == "cut gz" else packed)
    elif kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(rng.choice((0, 1, 1, 1, 2))):
                archive.writestr(f"case{i}.geojson", raw)
        path.write_bytes(buffer.getvalue())
    elif kind == "bomb":
        path.write_bytes(gzip.compress(bytes(200 << 20), 9))
    elif kind == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "link":
        (folder / "elsewhere.json").write_bytes(raw)
        path.symlink_to(folder / "elsewhere.json")
    else:
        path.write_bytes(raw)
    return kind


def check(folder: Path) -> Outcome:
    """Find the region file as a run does, read it, and compare what was found with the oracle."""
    path = next(path for path in sorted(folder.iterdir()) if path.name.startswith("case.geojson"))
    (folder / "case.png").touch()
    # Time on the processor: on a shared machine another program would make a case look slow.
    start = time.process_time()
    (image,) = find_images(folder)
    if image.regions_path != path:
        return Outcome("accepted", (f"'{path.name}' is not found",), seconds=time.process_time() - start)
    found = read_regions(path, image_width=SIDE_PX, image_height=SIDE_PX)
    seconds = time.process_time() - start
    return Outcome("accepted", tuple(losses(path, found)), seconds=seconds)


def run(n: int, seed: int, keep: Path | None = None, *, is_verbose: bool = False) -> FuzzReport:
    """Fuzz region files."""
    return run_cases("geojson", draw, check, n=n, seed=seed, keep=keep, is_verbose=is_verbose)
