"""The patch manifest on disk: all patches of a data set as columns, with the settings needed to cut them again.

A folder holds ``manifest.npz`` (the columns, stored by `project.exchange.npz_columns`) and ``manifest.json`` (format 1:
images, class names, scale, settings, counts of dropped patches, SHA-256 of the columns). Pixels stay in the slides;
`patches.pixels.patch_pixels` reads them.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError, PatchError
from qupath_her2.patches.table import (
    COLUMNS,
    SPLITS,
    ManifestImage,
    PatchManifest,
    check_manifest,
    select,
    without_images,
)
from qupath_her2.project.exchange.npz_columns import read_columns, write_columns
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.provenance import canonical_json

__all__ = [
    "MANIFEST_FORMAT",
    "SPLITS",
    "ManifestImage",
    "PatchManifest",
    "check_manifest",
    "manifest_hash",
    "read_manifest",
    "select",
    "without_images",
    "write_manifest",
]

MANIFEST_FORMAT = 1
_NPZ, _JSON = "manifest.npz", "manifest.json"
_AGAIN = "Cut the patches again."


def manifest_hash(manifest: PatchManifest) -> str:
    """Return the SHA-256, 64 hex digits, of patches, labels, splits, images and settings.

    File paths and the counts of dropped patches are left out, so that a copied study keeps its hash.
    """
    digest = hashlib.sha256()
    # With names and shapes in between, so that no value can move from one column to the next unnoticed.
    for name, (dtype, _) in COLUMNS.items():
        column = np.ascontiguousarray(getattr(manifest, name), dtype=dtype)
        digest.update(f"{name}{column.shape}".encode() + column.tobytes())
    images = [{**asdict(image), "path": None} for image in manifest.images]
    for image in images:
        # So that patches cut before images kept their label have the same hash.
        if not image["label"]:
            del image["label"]
    head = [images, manifest.class_names, manifest.patch_size_px, manifest.pixel_size_um, manifest.task]
    digest.update(canonical_json([*head, manifest.settings]))
    return digest.hexdigest()


def write_manifest(folder: Path, manifest: PatchManifest) -> None:
    """Write the manifest into `folder`, which is created if needed.

    Each file is replaced atomically. A process killed between the two leaves a pair that does not match, which
    `read_manifest` refuses.

    Raises
    ------
    PatchError
        `check_manifest` fails.
    OutputError
        The files cannot be written.
    """
    check_manifest(manifest)
    columns = io.BytesIO()
    write_columns(columns, manifest, COLUMNS)
    data = columns.getvalue()
    rest = {
        "format": MANIFEST_FORMAT,
        "columns_sha256": hashlib.sha256(data).hexdigest(),
        "patches": len(manifest),
        "images": [_image_json(image, folder) for image in manifest.images],
        "class_names": manifest.class_names,
        "patch_size_px": manifest.patch_size_px,
        # NaN becomes null: orjson's rule, and JSON's only way to say "unknown".
        "pixel_size_um": manifest.pixel_size_um,
        "task": manifest.task,
        "settings": manifest.settings,
        "dropped": manifest.dropped,
    }
    text = orjson.dumps(rest, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # The JSON last: it holds the hash of the columns, so old columns with a new description never look whole.
    replace_file(folder / _NPZ, data)
    replace_file(folder / _JSON, text + b"\n")


def _image_json(image: ManifestImage, folder: Path) -> dict[str, Any]:
    return {**asdict(image), "path": _portable(image.path, folder)}


def _portable(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder`, so that a study can be moved as a whole; absolute if they share no folder."""
    here, there = _plain(folder), _plain(path)
    # Two paths that share only the root are on different disks or shares: such an image does not move along.
    if here.anchor != there.anchor or here.parts[1:2] != there.parts[1:2]:
        return there.as_posix()
    return Path(os.path.relpath(there, here)).as_posix()


def read_manifest(folder: Path) -> PatchManifest:
    """Read a manifest written by `write_manifest`.

    Raises
    ------
    PatchError
        The files are missing, damaged or of another format; the message names the file and the field.
    """
    path = folder / _JSON
    try:
        raw = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise PatchError(
            f"There are no patches in '{folder}' ({_JSON} is missing). Cut them with: qupath-her2 patches PROJECT."
        ) from error
    except (OSError, orjson.JSONDecodeError) as error:
        raise PatchError(f"'{path}' cannot be read ({error}). {_AGAIN}") from error
    if not isinstance(raw, dict) or raw.get("format") != MANIFEST_FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        raise PatchError(f"'{path}' has format {found!r}; this version reads {MANIFEST_FORMAT}. {_AGAIN}")
    columns: dict[str, Any] = _columns(folder, raw)
    kinds = {"patch_size_px": int, "task": str, "settings": dict, "dropped": dict}
    values = {name: _field(raw, name, kind, path) for name, kind in kinds.items()}
    manifest = PatchManifest(
        **columns,
        **values,
        pixel_size_um=_size(raw.get("pixel_size_um"), "pixel_size_um", path),
        class_names=_names(raw, path),
        images=tuple(_image(image, folder, path) for image in _field(raw, "images", list, path)),
    )
    check_manifest(manifest, f"'{folder}'")
    return manifest


def _columns(folder: Path, raw: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    path = folder / _NPZ
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        columns = read_columns(path, COLUMNS)
    except (OSError, ExchangeError) as error:
        raise PatchError(f"'{path}' cannot be read ({error}). {_AGAIN}") from error
    if digest != raw.get("columns_sha256"):
        raise PatchError(f"'{path}' does not belong to the {_JSON} next to it. {_AGAIN}")
    return columns


def _field(raw: Mapping[str, Any], name: str, kind: type, path: Path) -> Any:
    value = raw.get(name)
    # bool is a subclass of int, but true is no size.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise PatchError(f"'{path}': {name!r} is {value!r:.80}, not a {kind.__name__}. {_AGAIN}")
    return value


def _names(raw: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    names: Sequence[Any] = _field(raw, "class_names", list, path)
    if not all(isinstance(name, str) for name in names):
        raise PatchError(f"'{path}': 'class_names' are not all strings. {_AGAIN}")
    return tuple(names)


def _size(value: Any, name: str, path: Path) -> float:
    """Return a pixel size in µm, NaN for null."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise PatchError(f"'{path}': {name!r} is {value!r}, not a positive number or null. {_AGAIN}")
    return float(value)


def _image(raw: Any, folder: Path, path: Path) -> ManifestImage:
    # An unknown key means a later format: ignoring it might drop, say, a rotation.
    known = {column.name for column in fields(ManifestImage)}
    if not isinstance(raw, dict) or not raw.keys() <= known:
        raise PatchError(f"'{path}': an entry of 'images' is not an image: {raw!r:.120}. {_AGAIN}")
    kinds: dict[str, type] = {"id": str, "name": str, "path": str, "width": int, "height": int, "chain": list}
    values = {name: _field(raw, name, kind, path) for name, kind in kinds.items()}
    case = raw.get("case")
    if case is not None and not isinstance(case, str):
        raise PatchError(
            f"'{path}': the case of image {values['name']!r} is {case!r}, not a string. {_AGAIN}"
        )
    return ManifestImage(
        **{**values, "chain": tuple(values["chain"]), "path": _plain(folder / values["path"])},
        case=case,
        pixel_size_um=_size(raw.get("pixel_size_um"), "pixel_size_um", path),
        fingerprint=str(raw.get("fingerprint", "")),
        label=str(raw.get("label", "")),
    )


def _plain(path: Path) -> Path:
    # Not resolve(): it would follow links, and a study that links to its slides could no longer be moved.
    return Path(os.path.normpath(path.absolute()))
