"""Writing so that nothing is half there: whole files, flushed to the disk, errors that say the way out."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from qupath_her2.errors import OutputError

__all__ = ["output_errors", "replace_file", "sync_folder", "write_synced"]

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an OSError met while writing to `path` into an OutputError with the way out."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        where = f"'{error.filename or path}'"
        if error.errno in _FULL:
            message = (
                f"No space left to write {where}. Free some space, or choose another disk with --out DIR."
            )
        elif error.errno in _FORBIDDEN:
            message = f"Cannot write {where}: the folder is read-only. Choose another folder with --out DIR."
        elif error.errno in (errno.ENOTDIR, errno.EEXIST):
            message = (
                f"Cannot write {where}: a file stands where a folder is needed. Move it, or pass --out DIR."
            )
        elif error.errno == errno.ENAMETOOLONG:
            message = f"Cannot write {where}: the path is too long. Choose a shorter folder with --out DIR."
        else:
            message = (
                f"Cannot write {where}: {error.strerror or error}. Choose another folder with --out DIR."
            )
        raise OutputError(error.errno, message) from error


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Give `path` new content in one step: readers see the old content or the new, never a part.

    Raises
    ------
    OutputError
        It cannot be written; the old content is still there and nothing else is.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with output_errors(path):
        try:
            write_synced(draft, data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until renames in `folder` are on the disk, where the system can say so (Windows cannot)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot sync a folder; their renames are ordered by the server.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
