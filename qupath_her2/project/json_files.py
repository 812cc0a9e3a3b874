"""JSON files of other people: read whole and within limits, or refused with the way out."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import orjson

from qupath_her2.errors import RegionFileError

__all__ = ["load_json", "read_limited"]

#: A file of 1 GiB holds about 800,000 QuPath cells and takes some 10 GB of memory as Python objects.
MAX_BYTES = 1 << 30
_GZIP_MAGIC = b"\x1f\x8b"


def load_json(path: Path) -> Any:
    """Return the JSON of a ``.json``, ``.geojson`` or ``.gz`` file.

    A byte order mark is accepted, and the bare ``NaN`` and ``Infinity`` that QuPath's reader accepts too.

    Raises
    ------
    RegionFileError
        The file cannot be opened, is empty, too large, cut short, not UTF-8 or not JSON.
    """
    data = read_limited(path)
    if not data.strip():
        raise RegionFileError(
            f"Region file '{path.name}' is empty (0 bytes of content). Export it from QuPath again."
        )
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # orjson is strict JSON; Python's reader is tried for NaN tokens and lone surrogates before giving up.
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
        cut = error.pos >= len(text.rstrip()) or "Unterminated" in error.msg
        what = "ends in the middle (cut short)" if cut else "is not JSON"
        raise RegionFileError(
            f"Region file '{path.name}' {what}: line {error.lineno}, column {error.colno}: {error.msg}. "
            "Export it again."
        ) from error
    except ValueError as error:
        # Python refuses integers of more than 4,300 digits.
        raise RegionFileError(
            f"Region file '{path.name}' holds a number that cannot be read: {error}"
        ) from error


def read_limited(path: Path) -> bytes:
    """Return the content of a file, unpacked if it is gzip, without a UTF-8 byte order mark."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as file:
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
