"""Reading JSON region files: plain or gzipped, size-limited, with a clear error for every kind of damage."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import orjson

from qupath_her2.errors import RegionFileError

__all__ = ["load_json", "read_limited"]

#: 1 GiB of GeoJSON is about 800,000 QuPath cells, and takes some 10 GB of memory as Python objects.
MAX_BYTES = 1 << 30
_GZIP_MAGIC = b"\x1f\x8b"


def load_json(path: Path) -> Any:
    """Return the content of a ``.json`` or ``.geojson`` file, or of either gzipped.

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
    """Return the content of a file, decompressed if it is gzip, without a UTF-8 byte order mark.

    Raises
    ------
    RegionFileError
        The file cannot be read, is damaged gzip, or holds more than `MAX_BYTES`.
    """
    try:
        # Recognised by content: files are renamed, and browsers unpack downloads without dropping the ".gz".
        with path.open("rb") as file:
            is_gzip = file.read(2) == _GZIP_MAGIC
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RegionFileError(
            f"Region file '{path.name}' is a damaged or incomplete gzip file ({error}). Copy it again."
        ) from error
    except OSError as error:
        raise RegionFileError(
            f"Region file '{path}' cannot be read: {error.strerror or error}. Check its path and permissions."
        ) from error
    if len(data) > MAX_BYTES:
        raise RegionFileError(
            f"Region file '{path.name}' holds more than {MAX_BYTES / 2**30:.1f} GiB. "
            "Export the annotations without the detections."
        )
    return data.removeprefix(b"\xef\xbb\xbf")
