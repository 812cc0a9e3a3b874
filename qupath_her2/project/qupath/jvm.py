"""QuPath as a child process: JSON lines in and out, clean cancellation.

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
from qupath_her2.project.qupath.memory import checked_heap_mb, out_of_memory

__all__ = ["call_qupath"]

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
        Java heap in MB; None to estimate it from `n_objects`, see `project.qupath.memory`.
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
    heap_mb = checked_heap_mb(heap_mb, n_objects)
    first = {
        "verb": verb,
        "qupath": str(qupath.folder),
        "version": qupath.version,
        "heap_mb": heap_mb,
        **request,
    }
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
        return out_of_memory(qupath.version, heap_mb)
    last = "\n  ".join(lines[-_LOG_LINES:]) or "(empty)"
    return f"QuPath {qupath.version} ended without a result (exit code {code}). End of its log:\n  {last}"
