"""Append-only files of JSON lines: what is written stays, and a line is there as a whole or is named as damaged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.writing import output_errors, sync_folder

__all__ = ["append_lines", "read_lines"]


def append_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Append lines to a file, and wait until they are on the disk.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # One write to a file opened for appending: two processes do not mix their lines.
        with path.open("ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            # A killed process may have left half a line; the next line must not join it.
            is_whole = end == 0 or file.read(1) == b"\n"
            file.write((b"" if is_whole else b"\n") + b"".join(line + b"\n" for line in lines))
            os.fsync(file.fileno())
        sync_folder(path.parent)


def read_lines(path: Path) -> list[bytes]:
    """Return the lines of a file without empty ones; none where there is no file.

    Raises
    ------
    ExchangeError
        The file cannot be read.
    """
    try:
        return [line for line in path.read_bytes().split(b"\n") if line.strip()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ExchangeError(f"'{path}' cannot be read: {error.strerror}. Check its permissions.") from error
