"""Reading JSON region files: plain, gzipped or zipped, size-limited, with a clear error for every kind of damage."""

from __future__ import annotations

import gzip
import json
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

import orjson

from qupath_her2.errors import RegionFileError

__all__ = ["geojson_members", "load_json", "read_limited"]

#: 1 GiB of GeoJSON is about 800,000 QuPath cells, and takes some 10 GB of memory as Python objects.
MAX_BYTES = 1 << 30
#: Unpacked, a file is at most this many times as large (GeoJSON: 5 to 20), unless it is small all the same.
_MAX_EXPANSION, _SMALL_BYTES = 200, 1 << 26
_GZIP_MAGIC, _ZIP_MAGIC = b"\x1f\x8b", b"PK\x03\x04"


def load_json(path: Path) -> Any:
    """Return the content of a ``.json`` or ``.geojson`` file, or of either gzipped or zipped.

    A byte order mark is accepted, and so are bare ``NaN`` and ``Infinity``, as in QuPath's own reader.

    Raises
    ------
    RegionFileError
        The file cannot be opened, is empty, too large, truncated, not UTF-8 or not JSON.
    """
    data = read_limited(path)
    if not data.strip():
        raise RegionFileError(
            f"Region file '{path.name}' is empty (0 bytes of content). Export it from QuPath again."
        )
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # orjson is strict: Python's slower parser is tried before giving up, for NaN tokens and lone surrogates.
        return _load_lenient(path, data)


def _load_lenient(path: Path, data: bytes) -> Any:
    try:
        text = data.decode("utf-8")
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise RegionFileError(
            f"Region file '{path.name}' is not UTF-8 text (byte {error.start}). "
            "Export it as GeoJSON from QuPath (File → Export objects as GeoJSON)."
        ) from error
    except RecursionError as error:
        raise RegionFileError(
            f"Region file '{path.name}' is nested too deeply to be a region file."
        ) from error
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(text.rstrip()) or "Unterminated" in error.msg
        what = "is cut short" if is_cut else "is not JSON"
        raise RegionFileError(
            f"Region file '{path.name}' {what}: line {error.lineno}, column {error.colno}: {error.msg}. "
            "Export it again."
        ) from error
    except ValueError as error:
        # Python refuses to parse integers of more than 4,300 digits.
        raise RegionFileError(
            f"Region file '{path.name}' holds a number that cannot be read ({error}). Export it again."
        ) from error


def read_limited(path: Path) -> bytes:
    """Return the content of a file, decompressed if it is gzip or zip, without a UTF-8 byte order mark.

    Raises
    ------
    RegionFileError
        The file cannot be read, is no regular file, is damaged gzip or zip, or holds more than `MAX_BYTES` or 200
        times its size on disk.
    """
    try:
        # A pipe would be waited for, a device read without end; a folder has its own error.
        if path.exists() and not path.is_file() and not path.is_dir():
            raise RegionFileError(
                f"Region file '{path}' is a pipe or a device, not a file. Rename or delete it."
            )
        limit = MAX_BYTES
        # Recognised by content: files are renamed, and browsers unpack downloads without dropping the ".gz".
        with path.open("rb") as file:
            magic = file.read(4)
        if magic[:2] == _GZIP_MAGIC:
            limit = min(limit, max(_SMALL_BYTES, _MAX_EXPANSION * path.stat().st_size))
        elif magic == _ZIP_MAGIC:
            return _read_zip(path).removeprefix(b"\xef\xbb\xbf")
        with gzip.open(path) if magic[:2] == _GZIP_MAGIC else path.open("rb") as file:
            data = file.read(limit + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RegionFileError(
            f"Region file '{path.name}' is a damaged or incomplete gzip file ({error}). Copy it again."
        ) from error
    except OSError as error:
        raise RegionFileError(
            f"Region file '{path}' cannot be read: {error.strerror or error}. Check its path and permissions."
        ) from error
    if len(data) > limit:
        raise _too_large(path, limit)
    return data.removeprefix(b"\xef\xbb\xbf")


def geojson_members(path: Path) -> list[str]:
    """Return the names of the GeoJSON files in a zip archive.

    Raises
    ------
    RegionFileError
        The archive is damaged or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.casefold().endswith((".geojson", ".json"))]
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise _damaged_zip(path, error) from error
    # macOS puts a file of attributes beside each file that it packs.
    return [name for name in names if not name.startswith("__MACOSX/")]


def _read_zip(path: Path) -> bytes:
    """Return the one GeoJSON file of an archive, as QuPath 0.3 and later export it."""
    members = geojson_members(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if len(members) != 1:
                raise RegionFileError(
                    f"Region file '{path.name}' is a zip archive of {len(members)} GeoJSON files, not one. Unpack it."
                )
            limit = min(MAX_BYTES, max(_SMALL_BYTES, _MAX_EXPANSION * path.stat().st_size))
            with archive.open(members[0]) as file:
                data = file.read(limit + 1)
    # RuntimeError: encrypted, or a compression that Python does not know.
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError) as error:
        if isinstance(error, RegionFileError):
            raise
        raise _damaged_zip(path, error) from error
    if len(data) > limit:
        raise _too_large(path, limit)
    return data


def _damaged_zip(path: Path, error: Exception) -> RegionFileError:
    return RegionFileError(
        f"Region file '{path.name}' is a damaged or encrypted zip archive ({error}). Unpack it or copy it again."
    )


def _too_large(path: Path, limit: int) -> RegionFileError:
    return RegionFileError(
        f"Region file '{path.name}' holds more than {limit / 2**20:,.0f} MiB, against {path.stat().st_size:,} bytes on "
        "disk. Export the annotations without the detections."
    )
