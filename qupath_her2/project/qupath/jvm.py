"""QuPath as a child process: started with the heap it needs, ended with its parent.

The child is `project.qupath.jvm_child`: paquo starts the Java machine of a QuPath installation in it through JPype. It
has a process of its own because a Java machine starts once a process, keeps its heap until the end, and must
not share a process with torch. Requests go in and events come out as lines of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from qupath_her2.errors import QuPathError
from qupath_her2.project.qupath.installations import QuPath

__all__ = ["call_qupath", "estimate_heap_mb", "machine_memory_mb"]

#: Heap in MB that QuPath takes without any object: its classes, Groovy, tiles of an open image.
_BASE_MB = 700
#: Heap in bytes an object takes while it is read, changed and saved: a cell with nucleus (24 + 16 vertices) and
#: 10 measurements keeps about 2.1 kB, and saving holds a compressed copy of all.
_OBJECT_BYTES = 3_000
#: Of the machine's memory that may be given to Java.
_SHARE = 0.8
#: How long a child that was asked to stop may go on: an image that is being saved is finished.
_STOP_S = 30.0
_LOG_LINES = 12
#: Names that would put other classes, options or modules into the child than it was tested with.
_UNWANTED = ("PYTHONHOME", "PYTHONSTARTUP", "CLASSPATH", "JAVA_HOME", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS")


def estimate_heap_mb(n_objects: int) -> int:
    """Return the Java heap in MB for images of at most `n_objects` objects, those to be added included."""
    return _BASE_MB + int(n_objects * _OBJECT_BYTES / 1e6)


def machine_memory_mb() -> int | None:
    """Return the memory of this machine in MB; None where the system does not say."""
    if sys.platform == "win32":
        import ctypes

        size = ctypes.c_ulonglong()
        known = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(size))
        return size.value // 1024 if known else None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError):
        return None


def _checked_heap_mb(wanted_mb: int | None, n_objects: int) -> int:
    """Return the heap to ask for; QuPathError before anything is loaded where the machine has too little."""
    heap_mb = wanted_mb or estimate_heap_mb(n_objects)
    memory_mb = machine_memory_mb()
    if wanted_mb is None and memory_mb is not None and heap_mb > _SHARE * memory_mb:
        raise QuPathError(
            f"QuPath would need about {heap_mb / 1024:.0f} GB for {n_objects:,} objects in one image; this machine "
            f"has {memory_mb / 1024:.0f} GB. Use a larger one, or try with less: --heap {int(memory_mb * 0.7)}."
        )
    return heap_mb


def call_qupath(
    verb: str,
    request: Mapping[str, Any],
    qupath: QuPath,
    *,
    heap_mb: int | None = None,
    n_objects: int = 0,
    listen: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Have QuPath do something in a process of its own, and return what came of it.

    Parameters
    ----------
    verb, request
        What `project.qupath.jvm_child` is to do.
    qupath
        The installation to use.
    heap_mb
        Java heap; estimated from `n_objects`, the largest number of objects in an image, where None.
    listen
        Called with each event that comes before the result; may raise KeyboardInterrupt to cancel.

    Raises
    ------
    QuPathError
        It was refused or failed; the message is QuPath's own, or the last lines of its log.
    KeyboardInterrupt
        After Ctrl-C; the image in work was finished or left as it was, and the child is gone.
    """
    heap_mb = _checked_heap_mb(heap_mb, n_objects)
    first = {"verb": verb, "qupath": str(qupath.folder), "heap_mb": heap_mb, **request}
    with tempfile.TemporaryFile(prefix="her2-qupath-") as log:
        with _start(log) as child:
            try:
                result = _converse(child, first, listen)
            except BaseException:
                _stop(child)
                raise
        if result is None:
            raise QuPathError(_death(child.returncode, qupath, heap_mb, log))
    if "error" in result:
        raise QuPathError(str(result["error"]))
    return result


def _start(log: IO[bytes]) -> subprocess.Popen[bytes]:
    # A group of its own: Ctrl-C in the terminal must reach the child as a request, or Java dies while it saves.
    alone: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        alone = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(
        [sys.executable, "-m", "qupath_her2.project.qupath.jvm_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=_environment(),
        **alone,
    )


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    # This very package, from a checkout as well.
    kept["PYTHONPATH"] = str(Path(__file__).parents[3])
    kept["PYTHONUTF8"] = "1"
    return kept


def _converse(
    child: subprocess.Popen[bytes], first: Mapping[str, Any], listen: Callable[[dict[str, Any]], None] | None
) -> dict[str, Any] | None:
    """Send the request and pass events on; return the result, None where the child ended without one."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(json.dumps(first).encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:
        return None
    for line in child.stdout:
        event: dict[str, Any] = json.loads(line)
        if event.get("event") in ("result", "error"):
            return event
        if listen is not None:
            listen(event)
    return None


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask the child to stop by closing its input, and end it where it does not."""
    assert child.stdin is not None
    with contextlib.suppress(OSError):
        child.stdin.close()
    killer = threading.Timer(_STOP_S, child.kill)
    killer.start()
    try:
        child.wait()
    finally:
        killer.cancel()


def _death(code: int, qupath: QuPath, heap_mb: int, log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").splitlines()
    if any("OutOfMemoryError" in line for line in lines):
        return f"QuPath {qupath.version} ran out of its {heap_mb} MB of memory. Give it more: --heap {2 * heap_mb}."
    last = "\n  ".join(lines[-_LOG_LINES:]) or "it said nothing"
    return f"QuPath {qupath.version} ended without a result (exit code {code}). Its last words:\n  {last}"
