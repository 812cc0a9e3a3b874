"""Crash-safe writing: files replaced atomically and flushed to disk, and OSErrors turned into advice."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from qupath_her2.errors import OutputError

__all__ = ["draft_of", "output_errors", "replace_file", "sync_folder", "write_synced"]

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an OSError raised while writing to `path` into an OutputError that says what to do.

    Parameters
    ----------
    path
        File or folder to name in the message where the OSError names none.

    Raises
    ------
    OutputError
        In place of any OSError in the block; `errno` is kept.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        where = f"'{error.filename or path}'"
        if error.errno in _FULL:
            message = (
                f"No space left to write {where}. Free some space, or write to another disk with --out DIR."
            )
        elif error.errno in _FORBIDDEN:
            message = f"Cannot write {where}: the folder is read-only. Choose another folder with --out DIR."
        elif error.errno in (errno.ENOTDIR, errno.EEXIST):
            message = (
                f"Cannot write {where}: there is a file where a folder is needed. Move it, or pass --out DIR."
            )
        elif error.errno == errno.ENAMETOOLONG:
            message = f"Cannot write {where}: the path is too long. Choose a shorter folder with --out DIR."
        else:
            message = (
                f"Cannot write {where}: {error.strerror or error}. Choose another folder with --out DIR."
            )
        raise OutputError(error.errno, message) from error


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and flush it to disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Replace the content of `path` atomically: readers see the old content or the new, never a mixture.

    Raises
    ------
    OutputError
        The file cannot be written; the old content is kept and no draft is left behind.
    """
    with output_errors(path):
        with draft_of(path) as draft:
            write_synced(draft, data)
        sync_folder(path.parent)


@contextlib.contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which replaces `path` at the end of the block; nothing of it is left by an error."""
    # In the same folder, since a rename is atomic only within a file system; with the pid, since two processes may
    # write at once.
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush renames in `folder` to disk, on systems that can sync a folder (Windows cannot)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a folder; there the server orders the renames.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
