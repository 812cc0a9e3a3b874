"""Who made what, from what: the run record, the input hash, and the UUIDs that prove an object is ours.

The UUID layout (RFC 9562, section 5.8, version 8), from the most significant bit::

    48 bits  fixed tag, ASCII "QPHER2"
     4 bits  version, 8
    12 bits  run key, its upper 12 bits
     2 bits  variant, 0b10
    30 bits  run key, its lower 30 bits
    32 bits  running number of the object in its run

The run key is the first 42 bits of the run's input hash, so the same input and settings give the same UUIDs,
and ownership is a test of six bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError
from qupath_her2.records import CaseInfo, QuarantinedFeature, Region

__all__ = [
    "RUN_FORMAT",
    "UUID_TAG",
    "RunRecord",
    "canonical_geometry",
    "canonical_json",
    "cell_uuids",
    "image_fingerprint",
    "input_hash",
    "is_ours",
    "ours",
    "run_key",
    "run_of",
    "sha256_file",
    "versions",
]

RUN_FORMAT = 1
#: The first six bytes of every object this package creates; reads "QPHER2" in a hex dump.
UUID_TAG = b"QPHER2"
#: QuPath writes and reads coordinates on this grid (0.6 and later), so finer differences are not differences.
GRID_PX = 0.01

_KEY_BITS = 42
_MAX_OBJECTS = 1 << 32
_BLOCK_BYTES = 1 << 20
_WHOLE_FILE_BYTES = 64 << 20
_PACKAGES = (
    "qupath-her2",
    "imagecodecs",
    "numba",
    "numpy",
    "opencv-python",
    "openslide-python",
    "orjson",
    "scipy",
    "shapely",
    "tifffile",
)


# --- UUIDs


def run_key(input_hash: str) -> str:
    """Return the 42-bit key of a run as 11 hex digits, from the hex digits of its input hash."""
    try:
        return f"{int(input_hash[:11], 16) >> 2:011x}"
    except ValueError as error:
        raise ExchangeError(
            f"Run hash {input_hash!r} is not hexadecimal; pass the value of input_hash()."
        ) from error


def cell_uuids(run_hash: str, n: int, *, start: int = 0) -> NDArray[np.uint8]:
    """Return `n` version 8 UUIDs of a run, numbered from `start`.

    Parameters
    ----------
    run_hash
        Hex digits of the run's input hash; at least 11 are used.
    n, start
        How many, and the first running number; ``start + n`` at most 2**32.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (n, 16), big-endian bytes as RFC 9562 orders them.
    """
    if n < 0 or start < 0 or start + n > _MAX_OBJECTS:
        raise ExchangeError(
            f"Cannot number {n} objects from {start}: a run holds at most {_MAX_OBJECTS} objects."
        )
    key = int(run_key(run_hash), 16)
    high = (8 << 12) | (key >> 30)
    low = (0b10 << 30) | (key & ((1 << 30) - 1))
    uuids = np.empty((n, 16), np.uint8)
    uuids[:, :12] = np.frombuffer(UUID_TAG + high.to_bytes(2, "big") + low.to_bytes(4, "big"), np.uint8)
    uuids[:, 12:] = np.arange(start, start + n, dtype=np.uint64).astype(">u4").view(np.uint8).reshape(n, 4)
    return uuids


def is_ours(uuid: UUID) -> bool:
    """Return whether `uuid` carries our tag, version 8 and the RFC 9562 variant."""
    data = uuid.bytes
    return data[:6] == UUID_TAG and data[6] >> 4 == 8 and data[8] >> 6 == 0b10


def ours(uuids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return `is_ours` of many: uint8 (N, 16) to bool (N,)."""
    tag = (uuids[:, :6] == np.frombuffer(UUID_TAG, np.uint8)).all(axis=1)
    mine: NDArray[np.bool_] = tag & (uuids[:, 6] >> 4 == 8) & (uuids[:, 8] >> 6 == 0b10)
    return mine


def run_of(uuid: UUID) -> str | None:
    """Return the run key (11 hex digits, see `run_key`) of an object of ours; None for anybody else's."""
    if not is_ours(uuid):
        return None
    high = int.from_bytes(uuid.bytes[6:8], "big") & 0xFFF
    low = int.from_bytes(uuid.bytes[8:12], "big") & ((1 << 30) - 1)
    return f"{(high << 30) | low:011x}"


# --- hashes


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits; raises OSError where it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def image_fingerprint(path: Path) -> str:
    """Return a SHA-256 that changes when the image's file changes, without reading a whole slide.

    Up to 64 MiB the whole file counts; above that its size and 18 blocks of 1 MiB (head, tail, 16 between).
    The companion folder of an MRXS slide counts by the names and sizes of its files. The file's name and date
    do not count: a copied slide keeps its results.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(size.to_bytes(8, "big"))
    with path.open("rb") as file:
        if size <= _WHOLE_FILE_BYTES:
            starts, length = [0], size
        else:
            starts, length = [round(i * (size - _BLOCK_BYTES) / 17) for i in range(18)], _BLOCK_BYTES
        for start in starts:
            file.seek(start)
            digest.update(file.read(length))
    if path.suffix.lower() == ".mrxs" and path.with_suffix("").is_dir():
        for part in sorted(path.with_suffix("").iterdir()):
            digest.update(f"{part.name}\0{part.stat().st_size}\n".encode())
    return digest.hexdigest()


def canonical_geometry(geometry: shapely.Geometry) -> bytes:
    """Return bytes that are equal for equal shapes, however a program ordered their vertices.

    Coordinates on QuPath's 0.01 px grid, rings started and turned the normal way, parts sorted; 2D WKB,
    little-endian.
    """
    # Adding 0.0 turns -0.0 into 0.0, which WKB would otherwise tell apart.
    snapped = shapely.transform(geometry, lambda xy: np.rint(xy / GRID_PX) * GRID_PX + 0.0)
    normal = shapely.normalize(shapely.remove_repeated_points(snapped))
    data: bytes = shapely.to_wkb(normal, output_dimension=2, byte_order=1)
    return data


def canonical_json(value: object) -> bytes:
    """Return JSON with sorted keys of plain values, dataclasses, paths, sets and arrays."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    return orjson.dumps(value, default=_plain, option=options)


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no canonical JSON form")


def _region_digest(region: Region) -> bytes:
    # The UUID belongs to the input: measurements return to an annotation by it.
    words = [str(region.uuid), region.role, region.class_name or "", "locked" if region.is_locked else "free"]
    return hashlib.sha256("\0".join(words).encode() + b"\0" + canonical_geometry(region.geometry)).digest()


def input_hash(
    regions: Iterable[Region],
    *,
    image_fingerprint: str,
    pixel_size_um: float | None,
    stains: object,
    settings: object,
    weights: Mapping[str, str] | Sequence[str] = (),
    case: CaseInfo | None = None,
    existing_cells: str | None = None,
    version: str | None = None,
) -> str:
    """Return the SHA-256 (64 hex digits) of everything that a result depends on.

    Parameters
    ----------
    regions
        People's regions, in any order; objects of our own among them are left out, so a push never makes its
        own result stale. Names and measurements do not count.
    image_fingerprint
        From `image_fingerprint`.
    pixel_size_um
        Calibration in use, µm per pixel; None where there is none.
    stains, settings
        Anything `canonical_json` takes: settings dataclasses, dictionaries, arrays.
    weights
        SHA-256 of model weights.
    case
        What is known of the case: specimen and ISH change the score.
    existing_cells
        Digest of cells that are classified in place instead of detected; None where we detect.
    version
        Version of this package, by default the installed one: another version may measure otherwise, and one
        UUID must not stand for two outlines.
    """
    digest = hashlib.sha256(b"qupath-her2 input 1\n")
    for region in sorted(_region_digest(region) for region in regions if not is_ours(region.uuid)):
        digest.update(region)
    rest = {
        "calibration_um": pixel_size_um,
        "case": case,
        "cells": existing_cells,
        "image": image_fingerprint,
        "settings": settings,
        "stains": stains,
        "version": versions()["qupath-her2"] if version is None else version,
        "weights": dict(weights) if isinstance(weights, Mapping) else sorted(weights),
    }
    digest.update(canonical_json(rest))
    return digest.hexdigest()


@functools.cache
def versions() -> Mapping[str, str]:
    """Return the versions a result depends on: this package, Python, the platform, the numerical packages."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


# --- the record


@dataclasses.dataclass(frozen=True, slots=True)
class RunRecord:
    """``run.json``, format 1: everything needed to check a run and to repeat it.

    Attributes
    ----------
    run
        The run's id, also the name of its folder.
    input_hash
        What `input_hash` returned; the UUIDs of the run's objects come from it.
    image
        ``name`` and whatever identifies the image (``id``, ``path``, ``width``, ``height``,
        ``pixel_size_um`` …).
    versions, command, settings
        Of this package and its parts; as typed; in use.
    inputs
        {what: SHA-256} of the image, the region file, the weights.
    files, sizes
        {name: SHA-256} and {name: bytes} of the other files of the run.
    device
        Where it ran.
    counts, timings_s, warnings
        Of the run.
    regions
        The scored regions in order, each with ``uuid``, ``name``, ``class``, ``area_um2`` …; a cell's
        `region` is an index into it.
    cells
        ``measurements`` and ``classes``, the names of the columns and codes of ``cells.npz``.
    patches
        ``classes``, the names of the codes and of the probabilities of ``patches.npz``.
    quarantined
        Features of the region file that were set aside.
    """

    run: str
    input_hash: str
    image: dict[str, Any]
    versions: dict[str, str] = dataclasses.field(default_factory=lambda: dict(versions()))
    command: tuple[str, ...] = ()
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    inputs: dict[str, str] = dataclasses.field(default_factory=dict)
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    device: str = "cpu"
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    timings_s: dict[str, float] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    regions: tuple[dict[str, Any], ...] = ()
    cells: dict[str, list[str]] = dataclasses.field(
        default_factory=lambda: {"measurements": [], "classes": []}
    )
    patches: dict[str, list[str]] = dataclasses.field(default_factory=lambda: {"classes": []})
    quarantined: tuple[QuarantinedFeature, ...] = ()
    format: int = RUN_FORMAT

    def to_json(self) -> bytes:
        """Return UTF-8 JSON, keys sorted, indented by two."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        return orjson.dumps(fields, default=_plain, option=options | orjson.OPT_NON_STR_KEYS)

    @classmethod
    def from_json(cls, data: bytes) -> RunRecord:
        """Read what `to_json` wrote; ExchangeError names the field that is not as format 1 says."""
        try:
            raw = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ExchangeError(
                f"run.json is not JSON ({error}). Score the image again with --force."
            ) from error
        if not isinstance(raw, dict) or raw.get("format") != RUN_FORMAT:
            found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
            raise ExchangeError(
                f"run.json has format {found!r}; this version reads {RUN_FORMAT}. Update qupath-her2."
            )
        fields = {field.name: field for field in dataclasses.fields(cls)}
        values = {
            name: _checked(name, str(field.type), raw[name]) for name, field in fields.items() if name in raw
        }
        missing = [name for name in ("run", "input_hash", "image") if name not in values]
        if missing or "name" not in values["image"]:
            raise ExchangeError(
                f"run.json lacks {', '.join(missing) or 'image.name'}. Score the image again."
            )
        return cls(**values)


def _checked(name: str, annotation: str, value: object) -> Any:
    """Return `value` as the field's type, or raise ExchangeError."""
    if name == "quarantined" and isinstance(value, list):
        try:
            return tuple(QuarantinedFeature(**feature) for feature in value)
        except TypeError as error:
            raise ExchangeError(
                f"run.json: 'quarantined' does not list index, id and reason ({error})."
            ) from error
    wanted: type = {"dict": dict, "tuple": list, "str": str, "int": int}[annotation.split("[")[0]]
    if not isinstance(value, wanted):
        raise ExchangeError(
            f"run.json: {name!r} is {value!r}, not a {annotation}. Score the image again with --force."
        )
    return tuple(value) if isinstance(value, list) else value
