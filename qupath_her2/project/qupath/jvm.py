"""QuPath as a child process: sized heap, JSON lines in and out, clean cancellation.

The child runs `project.qupath.jvm_child`, in which paquo starts the JVM of a QuPath installation through JPype. It is a
process of its own because a JVM can be started only once per process, keeps its heap until the end, and must not share
a process with torch. The request goes in and events come out as lines of JSON.
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

#: Heap in MB that QuPath needs without any objects: its classes, Groovy, tiles of an open image.
_BASE_MB = 700
#: Heap in bytes per object while it is read, changed and saved: a cell with nucleus (24 + 16 vertices) and 10
#: measurements takes about 2.1 kB, and saving keeps a compressed copy of all objects.
_OBJECT_BYTES = 3_000
#: Share of the machine's memory that may be given to Java.
_MAX_MEMORY_SHARE = 0.8
#: Seconds a cancelled child may continue, so that an image that is being saved is finished.
_STOP_S = 30.0
_LOG_LINES = 12
#: Environment variables that would load other classes, options or modules into the child than those tested.
_DROPPED_VARIABLES = (
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "CLASSPATH",
    "JAVA_HOME",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
)


def estimate_heap_mb(n_objects: int) -> int:
    """Return the Java heap in MB for images of at most `n_objects` objects, including those to be added."""
    return _BASE_MB + int(n_objects * _OBJECT_BYTES / 1e6)


def machine_memory_mb() -> int | None:
    """Return the memory of this machine in MB; None if the system does not tell."""
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
    """Return the heap to request; QuPathError, before anything is loaded, if the machine has too little memory."""
    heap_mb = wanted_mb or estimate_heap_mb(n_objects)
    memory_mb = machine_memory_mb()
    # A heap given by the user is not questioned: the estimate may be too high for simple objects.
    if wanted_mb is None and memory_mb is not None and heap_mb > _MAX_MEMORY_SHARE * memory_mb:
        raise QuPathError(
            f"QuPath would need about {heap_mb / 1024:.0f} GB for {n_objects:,} objects in one image; this machine "
            f"has {memory_mb / 1024:.0f} GB. Use a larger machine, or try with less memory: "
            f"--heap {int(memory_mb * 0.7)}."
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
    """Run a request in a QuPath process of its own and return the result.

    Parameters
    ----------
    verb
        ``export``, ``push`` or ``preferences``, see `project.qupath.jvm_child`.
    request
        Parameters of the verb, as plain JSON values.
    qupath
        The installation to use.
    heap_mb
        Java heap in MB; None to estimate it from `n_objects`.
    n_objects
        Largest number of objects in one image, including those to be added.
    listen
        Called with each event before the result; may raise KeyboardInterrupt to cancel.

    Returns
    -------
    dict[str, Any]
        The ``result`` event of the child.

    Raises
    ------
    QuPathError
        QuPath refused or failed; the message is QuPath's own, or the last lines of its log.
    KeyboardInterrupt
        After Ctrl-C. The image being processed was finished or left unchanged, and the child has ended.
    """
    heap_mb = _checked_heap_mb(heap_mb, n_objects)
    first = {"verb": verb, "qupath": str(qupath.folder), "heap_mb": heap_mb, **request}
    # The log goes to a file, not a pipe: nobody reads a second pipe, and a full one would block Java.
    with tempfile.TemporaryFile(prefix="her2-qupath-") as log:
        with _start(log) as child:
            try:
                result = _communicate(child, first, listen)
            except BaseException:
                _stop(child)
                raise
        if result is None:
            raise QuPathError(_crash_message(child.returncode, qupath, heap_mb, log))
    if "error" in result:
        raise QuPathError(str(result["error"]))
    return result


def _start(log: IO[bytes]) -> subprocess.Popen[bytes]:
    # In a process group of its own: Ctrl-C in the terminal would otherwise kill Java while it saves an image.
    own_group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(
        [sys.executable, "-m", "qupath_her2.project.qupath.jvm_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=_environment(),
        **own_group,
    )


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED_VARIABLES}
    # The child must import this very package, even if it runs from a checkout.
    kept["PYTHONPATH"] = str(Path(__file__).parents[3])
    kept["PYTHONUTF8"] = "1"
    return kept


def _communicate(
    child: subprocess.Popen[bytes], first: Mapping[str, Any], listen: Callable[[dict[str, Any]], None] | None
) -> dict[str, Any] | None:
    """Send the request and pass on events; return the result, None if the child ended without one."""
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
    """Ask the child to stop by closing its input, and kill it if it does not within `_STOP_S`."""
    assert child.stdin is not None
    with contextlib.suppress(OSError):
        child.stdin.close()
    killer = threading.Timer(_STOP_S, child.kill)
    killer.start()
    try:
        child.wait()
    finally:
        killer.cancel()


def _crash_message(code: int, qupath: QuPath, heap_mb: int, log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").splitlines()
    if any("OutOfMemoryError" in line for line in lines):
        return (
            f"QuPath {qupath.version} ran out of memory ({heap_mb} MB). Give it more: --heap {2 * heap_mb}."
        )
    last = "\n  ".join(lines[-_LOG_LINES:]) or "(empty)"
    return f"QuPath {qupath.version} ended without a result (exit code {code}). End of its log:\n  {last}"
