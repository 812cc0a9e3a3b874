"""Image locks: one worker per image, by a lock file created with O_CREAT | O_EXCL (atomic on network disks too).

A lock is a lease. While it is held, a thread renews its time stamp every `BEAT_S`; a lock from another machine that
was silent for `STALE_AFTER_S` is taken over. On the same machine the operating system knows at once whether the holder
is alive. Silence is measured by the clock of the file server, which makes the time stamps: clocks of machines differ. A
holder that was taken for dead, because its machine was suspended or cut off, finds out before its result gets its final
name (`ImageLock.check`). ``fcntl`` locks would be simpler but are unreliable on network drives.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.image_ids import image_folder
from qupath_her2.project.exchange.writing import output_errors

__all__ = ["BEAT_S", "STALE_AFTER_S", "ImageBusyError", "ImageLock", "is_locked", "lock_image"]

#: A held lock is renewed this often, seconds.
BEAT_S = 60.0
#: Silence in seconds after which the lock of another machine counts as dead: 15 beats, since a network drive may hang
#: for minutes and NFS shows time stamps up to a minute late.
STALE_AFTER_S = 15 * BEAT_S
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
        """Show that the holder is alive, where the lock is still its own."""
        if self._is_ours():
            os.utime(self.path)

    def check(self) -> None:
        """Raise ImageBusyError where another worker took this one for dead and holds the lock now."""
        if not self._is_ours():
            raise ImageBusyError(_busy_message(self.image, _read(self.path), self.path))

    def _is_ours(self) -> bool:
        return (_read(self.path) or {}).get("token") == self.token


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
    lock, done = ImageLock(her2, image, path, token), threading.Event()
    beat = threading.Thread(target=_beat, args=(lock, done), name=f"lock of {image}", daemon=True)
    beat.start()
    try:
        yield lock
    finally:
        done.set()
        beat.join()
        # If another worker took us for dead and took the lock over, the file is theirs.
        if lock._is_ours():
            path.unlink(missing_ok=True)


def _beat(lock: ImageLock, done: threading.Event) -> None:
    """Renew a lock until `done`, whatever the worker's main thread computes meanwhile."""
    while not done.wait(BEAT_S):
        # The drive may be away for a moment; if it stays away, the worker itself says so when it writes.
        with contextlib.suppress(OSError):
            lock.touch()


def is_locked(her2: Path, image: str) -> bool:
    """Return whether a live worker holds the lock of an image."""
    path = image_folder(her2, image).with_name(f"{image}.lock")
    holder = _read(path)
    return path.exists() and not _is_dead(path, holder)


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
    holder = {"host": socket.gethostname(), "space": _pid_space(), "pid": pid, "born": _start_time(pid)}
    return json.dumps({**holder, "token": token}).encode()


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
    # Containers may share the name of their host, and not its processes.
    if holder.get("host") != socket.gethostname() or holder.get("space", "") not in ("", _pid_space()):
        return _silence_s(path) > STALE_AFTER_S
    pid = holder["pid"]
    return not _is_alive(pid) or _start_time(pid) != holder.get("born")


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _silence_s(path: Path) -> float:
    """Return for how long a lock was not renewed, by the clock that made its time stamp; 0 where nobody can tell."""
    try:
        # Opened, not only looked at: that is when NFS fetches attributes anew.
        with (
            tempfile.NamedTemporaryFile(dir=path.parent, prefix="clock-", suffix=".tmp") as probe,
            path.open("rb") as file,
        ):
            return os.fstat(probe.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime
    except OSError:
        return 0.0


def _pid_space() -> str:
    """Return what tells apart the process numbers of two machines or containers; "" where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


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
