"""Provenance of results: the run record, the input hash, and the UUIDs that mark our objects.

The UUID layout (RFC 9562, section 5.8, version 8), from the most significant bit::

    48 bits  fixed tag, ASCII "QPHER2"
     4 bits  version, 8
    12 bits  run key, its upper 12 bits
     2 bits  variant, 0b10
    30 bits  run key, its lower 30 bits
    32 bits  running number of the object in its run

The run key is the first 42 bits of the run's input hash, so that the same input and settings give the same UUIDs
and ownership is a comparison of six bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError
from qupath_her2.records import PROPOSED_CLASS, CaseInfo, Region

__all__ = [
    "UUID_TAG",
    "are_ours",
    "canonical_geometry",
    "canonical_json",
    "image_fingerprint",
    "input_hash",
    "is_made_region",
    "is_ours",
    "json_default",
    "object_uuids",
    "outlines_hash",
    "run_key",
    "run_key_of",
    "sha256_file",
    "versions",
]

#: The first six bytes of the UUID of every object this package creates; reads "QPHER2" in a hex dump.
UUID_TAG = b"QPHER2"
#: Grid of the coordinates that QuPath 0.6 and later write and read; finer differences do not survive it.
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
    """Return the 42-bit key of a run as 11 hex digits.

    Parameters
    ----------
    input_hash
        Hex digits of the run's input hash; the first 11 are used.

    Returns
    -------
    str
        11 hex digits, the first of which is at most 3: 42 bits do not fill 44.

    Raises
    ------
    ExchangeError
        `input_hash` is not hexadecimal.
    """
    try:
        return f"{int(input_hash[:11], 16) >> 2:011x}"
    except ValueError as error:
        raise ExchangeError(
            f"Run hash {input_hash!r} is not hexadecimal; pass the value of input_hash()."
        ) from error


def object_uuids(run_hash: str, n: int, *, start: int = 0) -> NDArray[np.uint8]:
    """Return `n` version 8 UUIDs of a run, numbered from `start`.

    Parameters
    ----------
    run_hash
        Hex digits of the run's input hash; the first 11 are used.
    n
        Number of UUIDs.
    start
        Running number of the first; ``start + n`` is at most 2**32.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (n, 16), big-endian bytes as RFC 9562 orders them.

    Raises
    ------
    ExchangeError
        The numbers do not fit into 32 bits, or `run_hash` is not hexadecimal.
    """
    if n < 0 or start < 0 or start + n > _MAX_OBJECTS:
        raise ExchangeError(
            f"Cannot number {n} objects from {start}: a run holds at most {_MAX_OBJECTS:,} objects."
        )
    key = int(run_key(run_hash), 16)
    # The version nibble and the variant bits split the key into 12 and 30 bits.
    high = (8 << 12) | (key >> 30)
    low = (0b10 << 30) | (key & ((1 << 30) - 1))
    # Whole columns at once: a million UUID objects would take several seconds.
    uuids = np.empty((n, 16), np.uint8)
    uuids[:, :12] = np.frombuffer(UUID_TAG + high.to_bytes(2, "big") + low.to_bytes(4, "big"), np.uint8)
    uuids[:, 12:] = np.arange(start, start + n, dtype=np.uint64).astype(">u4").view(np.uint8).reshape(n, 4)
    return uuids


def is_ours(uuid: UUID) -> bool:
    """Return whether `uuid` carries our tag, version 8 and the RFC 9562 variant."""
    data = uuid.bytes
    return data[:6] == UUID_TAG and data[6] >> 4 == 8 and data[8] >> 6 == 0b10


def are_ours(uuids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return `is_ours` for each of N UUIDs: uint8 (N, 16) to bool (N,)."""
    tag = (uuids[:, :6] == np.frombuffer(UUID_TAG, np.uint8)).all(axis=1)
    mine: NDArray[np.bool_] = tag & (uuids[:, 6] >> 4 == 8) & (uuids[:, 8] >> 6 == 0b10)
    return mine


def is_made_region(region: Region) -> bool:
    """Return whether a region is one that this package made: all tissue, or a proposal that nobody has accepted.

    An annotation of ours to which a person gave a class is that person's region, though its UUID stays.
    """
    return is_ours(region.uuid) and region.class_name in (None, PROPOSED_CLASS)


def run_key_of(uuid: UUID) -> str | None:
    """Return the run key (11 hex digits, see `run_key`) of one of our objects; None for any other object."""
    if not is_ours(uuid):
        return None
    high = int.from_bytes(uuid.bytes[6:8], "big") & 0xFFF
    low = int.from_bytes(uuid.bytes[8:12], "big") & ((1 << 30) - 1)
    return f"{(high << 30) | low:011x}"


# --- hashes


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits; OSError if it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def image_fingerprint(path: Path) -> str:
    """Return a SHA-256 (64 hex digits) that changes with the image file, without reading a whole slide.

    Files of up to 64 MiB are hashed whole; of larger ones the size and 18 blocks of 1 MiB (head, tail and 16
    in between). The companion folder of an MRXS slide enters by the names and sizes of its files. The file's
    name and date are left out: a copied slide keeps its results.
    """
    # Reading gigabytes per slide would dominate a batch run; size, head, tail and samples tell slides apart.
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
    """Return bytes that are equal for equal shapes, whatever the order of their vertices.

    Little-endian 2D WKB with coordinates on QuPath's 0.01 px grid, rings in normal form (start and
    orientation), parts sorted.
    """
    # Adding 0.0 turns -0.0 into 0.0; they compare equal but differ in WKB.
    snapped = shapely.transform(geometry, lambda xy: np.rint(xy / GRID_PX) * GRID_PX + 0.0)
    normal = shapely.normalize(shapely.remove_repeated_points(snapped))
    data: bytes = shapely.to_wkb(normal, output_dimension=2, byte_order=1)
    return data


def canonical_json(value: object) -> bytes:
    """Return JSON with sorted keys; accepts plain values, dataclasses, paths, sets and arrays."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    return orjson.dumps(value, default=json_default, option=options)


def json_default(value: object) -> object:
    """Return a plain value for orjson in place of a path, set, array or dataclass; TypeError for anything else."""
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
    # The UUID is part of the input because measurements are attached to the annotation with that UUID.
    # Separated by NUL, so that moving a character from one word to the next changes the digest.
    words = [str(region.uuid), region.role, region.class_name or "", "locked" if region.is_locked else "free"]
    return hashlib.sha256("\0".join(words).encode() + b"\0" + canonical_geometry(region.geometry)).digest()


def outlines_hash(regions: Iterable[Region]) -> str:
    """Return a hash of outlines and roles alone, 64 hex digits: the same where regions were only locked or renamed."""
    known = sorted(region.role.encode() + b"\0" + canonical_geometry(region.geometry) for region in regions)
    return hashlib.sha256(b"\0\0".join(known)).hexdigest()


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
    """Return the SHA-256 (64 hex digits) of all inputs of a result.

    Parameters
    ----------
    regions
        Annotations, in any order. Those that we made are left out, so that a push never makes its own result stale;
        names and measurements are left out too.
    image_fingerprint
        Result of `image_fingerprint`.
    pixel_size_um
        Pixel size in use, µm per pixel; None if there is none.
    stains, settings
        Anything that `canonical_json` accepts: settings dataclasses, dictionaries, arrays.
    weights
        SHA-256 of the model weights.
    case
        Case data: specimen type and ISH result change the score.
    existing_cells
        Digest of the cells that are classified in place; None if cells are detected.
    version
        Version of this package, by default the installed one. Another version may measure differently, and
        one UUID must not denote two outlines.

    Returns
    -------
    str
        64 hex digits, equal for equal inputs on every machine.
    """
    # The prefix separates this scheme from later ones: a change of scheme must change every hash.
    digest = hashlib.sha256(b"qupath-her2 input 1\n")
    # Sorted by digest, since QuPath exports regions in any order.
    for region in sorted(_region_digest(region) for region in regions if not is_made_region(region)):
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
    """Return the versions a result depends on: this package, Python, the platform and the numerical packages."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
