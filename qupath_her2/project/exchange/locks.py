"""Image locks: one worker per image, by a lock file created with O_CREAT | O_EXCL (atomic on network disks too).

The lock of a dead process is taken over. On the same machine the operating system knows whether the process is alive;
a lock from another machine counts as dead once it has not been touched for `STALE_AFTER_S`, so holders touch their
lock from time to time (`ImageLock.touch`). ``fcntl`` locks would be simpler but are unreliable on network drives.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.image_ids import image_folder
from qupath_her2.project.exchange.writing import output_errors

__all__ = ["STALE_AFTER_S", "ImageBusyError", "ImageLock", "lock_image"]

#: Age in seconds after which an untouched lock of another machine counts as dead; a slide takes minutes to score.
STALE_AFTER_S = 3600.0
# Processes that compete to take over a dead lock are serialised by a second lock, held for milliseconds.
_TAKEOVER_STALE_S = 60.0
# A lock file is filled within milliseconds of its creation; an empty one this old was left by a killed process.
_UNFINISHED_AFTER_S = 10.0


class ImageBusyError(ExchangeError):
    """Another worker is processing this image."""


@dataclass(frozen=True, slots=True)
class ImageLock:
    """A held lock: the exchange folder, the id of the image, the lock file and the token that marks it as ours."""

    her2: Path
    image: str
    path: Path
    token: str

    def touch(self) -> None:
        """Show that the holder is alive; call it at least every `STALE_AFTER_S` seconds."""
        os.utime(self.path)


@contextlib.contextmanager
def lock_image(her2: Path, image: str) -> Iterator[ImageLock]:
    """Hold the lock of an image during the block.

    Parameters
    ----------
    her2
        The exchange folder.
    image
        Id of the image.

    Yields
    ------
    ImageLock
        The lock, as needed to write runs.

    Raises
    ------
    ImageBusyError
        Another live worker holds the lock; the message says which.
    OutputError
        The exchange folder cannot be written.
    ExchangeError
        `image` is not an image id.
    """
    results = image_folder(her2, image).parent
    path = results / f"{image}.lock"
    with output_errors(results):
        results.mkdir(parents=True, exist_ok=True)
        token = _acquire(path, image)
    try:
        yield ImageLock(her2, image, path, token)
    finally:
        # If another worker took us for dead and took the lock over, the file is theirs.
        if (_read(path) or {}).get("token") == token:
            path.unlink(missing_ok=True)


def _acquire(path: Path, image: str) -> str:
    token = secrets.token_hex(8)
    if _create(path, token):
        return token
    holder = _read(path)
    # Released between the two calls.
    if _age_s(path) == float("inf") and _create(path, token):
        return token
    if not _is_dead(path, holder):
        raise ImageBusyError(_busy_message(image, holder, path))
    guard = path.with_suffix(".takeover")
    if not _create(guard, token):
        # Of another machine by age, either way: if the clock was set back, what a killed process left is dated in the
        # future. Whoever comes next takes over: two that clear the guard and go on might both do so.
        if _is_dead(guard, _read(guard)) or abs(_age_s(guard)) > _TAKEOVER_STALE_S:
            guard.unlink(missing_ok=True)
        raise ImageBusyError(_busy_message(image, holder, path))
    try:
        # Read again under the guard, as another worker may have taken the lock over meanwhile. The dead file is
        # removed and a new one created exclusively, never overwritten: a worker that finds the path free in between
        # keeps the lock.
        holder = _read(path)
        if _age_s(path) < float("inf"):
            if not _is_dead(path, holder):
                raise ImageBusyError(_busy_message(image, holder, path))
            path.unlink(missing_ok=True)
        if not _create(path, token):
            raise ImageBusyError(_busy_message(image, _read(path), path))
    finally:
        guard.unlink(missing_ok=True)
    return token


def _create(path: Path, token: str) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_content(token))
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True


def _content(token: str) -> bytes:
    pid = os.getpid()
    return json.dumps(
        {"host": socket.gethostname(), "pid": pid, "born": _start_time(pid), "token": token}
    ).encode()


def _read(path: Path) -> dict[str, Any] | None:
    """Return the content of a lock file; None if it is gone or incomplete."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _is_dead(path: Path, holder: dict[str, Any] | None) -> bool:
    if holder is None or not isinstance(holder.get("pid"), int):
        # Killed between creating the file and filling it, unless it is so young that it may yet be filled.
        return _UNFINISHED_AFTER_S < abs(_age_s(path)) < float("inf")
    if holder.get("host") != socket.gethostname():
        return _age_s(path) > STALE_AFTER_S
    pid = holder["pid"]
    return not _is_alive(pid) or _start_time(pid) != holder.get("born")


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        # On Windows os.kill(pid, 0) would send Ctrl-C. 0x1000 is PROCESS_QUERY_LIMITED_INFORMATION.
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)
        ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_time(pid: int) -> str | None:
    """Return the start time of a process in clock ticks, so that a reused pid is not mistaken for the holder."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # Field 22 of proc(5); the command in field 2 may contain spaces and parentheses.
    return stat.rpartition(")")[2].split()[19]


def _busy_message(image: str, holder: dict[str, Any] | None, path: Path) -> str:
    who = f"process {holder.get('pid')} on {holder.get('host')}" if holder else "another worker"
    return (
        f"Image '{image}' is being scored by {who}. Wait until it has finished; if it is no longer running, "
        f"delete '{path}'."
    )
