"""One worker per image: a lock file made with O_CREAT | O_EXCL, which is atomic on local and network disks.

A lock whose process is dead is taken over. On this machine that is asked of the system; a lock of another
machine counts as dead when it has not been touched for `STALE_AFTER_S`, so a holder touches it now and then
(`ImageLock.touch`).
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
from qupath_her2.project.exchange.writing import output_errors

__all__ = ["STALE_AFTER_S", "ImageBusyError", "ImageLock", "lock_image"]

#: Age in seconds after which an untouched lock of another machine counts as dead; a slide takes minutes.
STALE_AFTER_S = 3600.0
# Two processes that both want to take over a dead lock meet at a second lock, held for milliseconds.
_TAKEOVER_STALE_S = 60.0
# A lock is filled within milliseconds of being made.
_UNFINISHED_AFTER_S = 10.0


class ImageBusyError(ExchangeError):
    """Another worker is at this image."""


@dataclass(frozen=True, slots=True)
class ImageLock:
    """A held lock: the exchange folder, the image's name in it, and the lock file."""

    her2: Path
    image: str
    path: Path
    token: str

    def touch(self) -> None:
        """Say that the holder is alive."""
        os.utime(self.path)


@contextlib.contextmanager
def lock_image(her2: Path, image: str) -> Iterator[ImageLock]:
    """Hold the lock of an image; released at the end, whatever happens.

    Raises
    ------
    ImageBusyError
        Another living worker holds it; the message says who.
    OutputError
        The exchange folder cannot be written.
    """
    results = her2 / "results"
    path = results / f"{image}.lock"
    with output_errors(results):
        results.mkdir(parents=True, exist_ok=True)
        token = _acquire(path, image)
    try:
        yield ImageLock(her2, image, path, token)
    finally:
        # After a take-over by somebody who thought us dead the file is theirs.
        if (_read(path) or {}).get("token") == token:
            path.unlink(missing_ok=True)


def _acquire(path: Path, image: str) -> str:
    token = secrets.token_hex(8)
    if _create(path, token):
        return token
    held = _read(path)
    if _age_s(path) == float("inf") and _create(path, token):
        return token
    if not _is_dead(path, held):
        raise ImageBusyError(_busy(image, held, path))
    guard = path.with_suffix(".takeover")
    if not _create(guard, token):
        if _age_s(guard) > _TAKEOVER_STALE_S:
            guard.unlink(missing_ok=True)
        raise ImageBusyError(_busy(image, held, path))
    try:
        # Read again under the guard: another worker may have taken it over since. The dead file goes and the new
        # one is made exclusively, never written over: whoever found the path free meanwhile keeps the lock.
        held = _read(path)
        if _age_s(path) < float("inf"):
            if not _is_dead(path, held):
                raise ImageBusyError(_busy(image, held, path))
            path.unlink(missing_ok=True)
        if not _create(path, token):
            raise ImageBusyError(_busy(image, _read(path), path))
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
    return json.dumps({"host": socket.gethostname(), "pid": pid, "born": _born(pid), "token": token}).encode()


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a lock says; None where it is gone or was not finished."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _is_dead(path: Path, held: dict[str, Any] | None) -> bool:
    if held is None or not isinstance(held.get("pid"), int):
        # Killed between making the file and filling it; a moment is left to those who are just doing that.
        return _UNFINISHED_AFTER_S < _age_s(path) < float("inf")
    if held.get("host") != socket.gethostname():
        return _age_s(path) > STALE_AFTER_S
    pid = held["pid"]
    return not _is_alive(pid) or _born(pid) != held.get("born")


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        # os.kill(pid, 0) would send Ctrl-C there.
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


def _born(pid: int) -> str | None:
    """Return when a process started, in system ticks: a reused pid must not pass for the holder."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def _busy(image: str, held: dict[str, Any] | None, path: Path) -> str:
    who = f"process {held.get('pid')} on {held.get('host')}" if held else "another worker"
    return f"Image '{image}' is being scored by {who}. Wait for it, or delete '{path}' if that is not so."
