"""Uploads: the parts of a multipart request go straight to their files, within limits, or leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from qupath_her2.project.exchange.writing import output_errors
from qupath_her2.project.image_files import image_suffix
from qupath_her2.server.job_store import new_id
from qupath_her2.server.problems import Problem

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from fastapi import Request

__all__ = ["Upload", "receive_upload"]

#: Parts that are files, and their endings on disk where they are no slide.
_FILES = ("slide", "regions")
_FIELDS = ("path", "options")
_MOST_FIELD_BYTES = 100_000
_MOST_HEADER_BYTES = 10_000
#: A sender that is silent for so long has gone, or wants to hold the connection.
_SILENCE_S = 30.0


@dataclass(slots=True)
class Upload:
    """What a request brought.

    Attributes
    ----------
    id
        Name of the folder below ``uploads``.
    folder
        That folder; it exists where there are files.
    files
        {part: file on disk}.
    names
        {part: file name as sent, without folders}.
    fields
        {part: text}.
    """

    id: str
    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)

    def discard(self) -> None:
        """Remove its files."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)


async def receive_upload(request: Request, uploads: Path, max_bytes: int) -> Upload:
    """Write the files of a multipart request below `uploads`, and return what it brought.

    Parameters
    ----------
    request
        The request.
    uploads
        Folder of all uploads.
    max_bytes
        Most bytes of the request's body.

    Returns
    -------
    Upload
        The caller owns its files.

    Raises
    ------
    Problem
        No multipart, malformed, too large, an unknown part, or a sender that fell silent; nothing is left of it.
    OutputError
        The disk is full or cannot be written; nothing is left.
    """
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    boundary = parameters.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise Problem(415, "The request is no multipart form.", "Send the slide as multipart/form-data.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    upload = Upload(folder := new_id(), uploads / folder)
    parts = _Parts(upload)
    try:
        await _receive(request, MultipartParser(boundary, parts.callbacks()), max_bytes)
        parts.check_whole()
    except MultipartParseError as error:
        parts.close()
        upload.discard()
        raise Problem(400, "The multipart form is malformed.", "Send it again.") from error
    except BaseException:
        # Also where the connection was cut, or the service ends.
        parts.close()
        upload.discard()
        raise
    return upload


async def _receive(request: Request, parser: MultipartParser, max_bytes: int) -> None:
    n_bytes = 0
    stream = request.stream().__aiter__()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), _SILENCE_S)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError as error:
            raise Problem(408, f"Nothing came for {_SILENCE_S:.0f} s.", "Send it again.") from error
        except ClientDisconnect as error:
            raise Problem(400, "The connection was cut.", "Send it again.") from error
        n_bytes += len(chunk)
        if n_bytes > max_bytes:
            raise _too_large(max_bytes)
        # A slow disk must not keep other requests waiting.
        await asyncio.to_thread(parser.write, chunk)


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        413,
        f"The upload is larger than {max_bytes / 1e9:g} GB.",
        "Start the service with a larger --max-upload-gb, or name the slide by its path.",
    )


class _Parts:
    """Takes the parts of a form as the parser meets them."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._header = b""
        self._value = b""
        self._headers: dict[str, str] = {}
        self._name = ""
        self._text = b""
        self._file: BinaryIO | None = None
        self._is_whole = False

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._write,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def check_whole(self) -> None:
        if not self._is_whole:
            raise Problem(400, "The multipart form ends too early.", "Send it again.")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._headers, self._header, self._value, self._text, self._name = {}, b"", b"", b"", ""

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header = self._bounded(self._header + data[start:end])

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value = self._bounded(self._value + data[start:end])

    @staticmethod
    def _bounded(value: bytes) -> bytes:
        if len(value) > _MOST_HEADER_BYTES:
            raise Problem(400, "A header of the form is too long.")
        return value

    def _end_header(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._header, self._value = b"", b""

    def _open(self) -> None:
        _, parameters = parse_options_header(self._headers.get("content-disposition", ""))
        name = parameters.get(b"name", b"").decode("utf-8", "replace")
        if name not in (*_FILES, *_FIELDS):
            raise Problem(
                422, f"The form has no part {name!r}.", f"Its parts are {', '.join((*_FILES, *_FIELDS))}."
            )
        if name in self._upload.files or name in self._upload.fields:
            raise Problem(422, f"The form has two parts {name!r}.", "Send one slide with each request.")
        self._name = name
        if name in _FIELDS:
            return
        sent = plain_name(parameters.get(b"filename", b"").decode("utf-8", "replace"))
        self._upload.names[name] = sent
        # Named by the service, never by the sender; the ending alone says the format.
        ending = (image_suffix(sent) or "") if name == "slide" else _region_ending(sent)
        path = self._upload.folder / f"{name}{ending}"
        with output_errors(path):
            self._upload.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = path.open("xb")
        self._upload.files[name] = path

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            with output_errors(self._upload.files[self._name]):
                self._file.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > _MOST_FIELD_BYTES:
            raise Problem(413, f"The part {self._name!r} is too long.")

    def _end(self) -> None:
        if self._file is not None:
            with output_errors(self._upload.files[self._name]):
                self._file.close()
            self._file = None
        elif self._name:
            try:
                self._upload.fields[self._name] = self._text.decode("utf-8")
            except UnicodeDecodeError as error:
                raise Problem(400, f"The part {self._name!r} is not UTF-8 text.") from error

    def _finish(self) -> None:
        self._is_whole = True


def plain_name(sent: str) -> str:
    """Return the last part of a file name as a browser of any system sends it, without characters that hide."""
    last = re.split(r"[\\/]", sent)[-1]
    return re.sub(r"[^\w .,()+=@-]", "_", last).strip(" .")[-120:] or "slide"


def _region_ending(name: str) -> str:
    lowered = name.lower()
    known = (".geojson.gz", ".geojson.zip", ".geojson", ".json", ".xml", ".ndpa", ".zip", ".gz")
    ending = next((one for one in known if lowered.endswith(one)), ".geojson")
    return ".geojson" if ending == ".json" else ending
