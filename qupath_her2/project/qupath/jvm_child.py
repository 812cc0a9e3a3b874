"""Child process that runs QuPath for Python; started by `project.qupath.jvm`, controlled by lines of JSON.

It loads the classes in ``groovy/lib`` that the scripts inside QuPath use as well, through Groovy's own class loader, so
that only one implementation reads and writes QuPath's objects.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, Any

import jpype
from jpype import JClass, JProxy
from paquo.jpype_backend import start_jvm

from qupath_her2.project.qupath.memory import out_of_memory
from qupath_her2.project.qupath.scripts import groovy_folder

__all__ = ["main"]

#: Seconds the work may continue after the parent has gone, so that an image that is being saved is finished.
_GRACE_S = 20.0
#: The same once the result is told and only the compiled library is still being cached, which a busy machine takes long
#: for: cut short each time, it would be compiled anew at every start.
_CACHING_S = 120.0
#: Exceptions of the Groovy library after a cancellation.
_CANCELLED = ("Her2Cancelled", "CancellationException")


class EventChannel:
    """Sends events to the parent, and notices when it cancels or dies."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.is_cancelled = threading.Event()
        self.is_done = threading.Event()

    def send(self, **event: Any) -> None:
        """Send one event as a line of JSON; a parent that has gone counts as a cancellation."""
        try:
            self._out.write(json.dumps(event).encode() + b"\n")
            self._out.flush()
        except BrokenPipeError:
            self.is_cancelled.set()

    def watch(self, source: IO[bytes]) -> None:
        """Watch for the end of the input in the background: the parent has closed it to cancel, or has died."""
        threading.Thread(target=self._wait_for_end, args=(source,), daemon=True).start()

    def _wait_for_end(self, source: IO[bytes]) -> None:
        while source.read(1):
            pass
        self.is_cancelled.set()
        # An event that is never set: a sleep that no signal cuts short.
        threading.Event().wait(_CACHING_S if self.is_done.is_set() else _GRACE_S)
        os._exit(130)


def main() -> None:
    """Read the request, execute it, send the result, and end the process."""
    # Java, JPype and QuPath print to stdout; that must not get between the events.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.readline())
    channel = EventChannel(out)
    channel.watch(sys.stdin.buffer)
    code = 1
    try:
        _serve(request, channel)
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        # An ordinary exit would wait for Java's threads.
        sys.stderr.flush()
        os._exit(code)


def _serve(request: dict[str, Any], channel: EventChannel) -> None:
    options = [f"-Xmx{request['heap_mb']}m", "-Djava.awt.headless=true"]
    start_jvm(finder_kwargs={"qupath_dir": request["qupath"], "java_opts": options})
    verbs = {"export": _export, "push": _push, "preferences": _preferences}
    try:
        result = verbs[request["verb"]](request, channel)
        channel.is_done.set()
        channel.send(event="result", **result)
    except jpype.JException as error:
        _send_error(channel, error)
        return
    if request["verb"] != "preferences":
        # Caching the compiled classes makes later starts seconds faster; not while scripts are being (un)installed.
        her2_class("Her2Compiled").keep()


def _send_error(channel: EventChannel, error: Any) -> None:
    name = str(error.getClass().getSimpleName())
    cancelled = name in _CANCELLED
    channel.send(event="error", kind=name, error=str(error.getMessage()) if cancelled else _reason(error))


def _reason(error: Any) -> str:
    """Return the reason for which one image failed; an error that concerns all images is raised again."""
    name = str(error.getClass().getSimpleName())
    if name in (*_CANCELLED, "OutOfMemoryError"):
        raise error
    if name == "Her2Refusal":
        return str(error.getMessage())
    error.printStackTrace()
    return f"QuPath: {name}: {error.getMessage()}"


def her2_class(name: str) -> Any:
    """Return a class of ``groovy/lib``; its loader is shared with the scripts, one per JVM."""
    lib = JClass("java.io.File")(str(groovy_folder() / "lib"))
    stamp = max(int(path.lastModified()) for path in lib.listFiles())
    key = f"qupath_her2.loader {lib.getCanonicalPath()} {stamp}"
    shared = JClass("java.lang.System").getProperties()
    loader = shared.get(key)
    if loader is None:
        options = JClass("org.codehaus.groovy.control.CompilerConfiguration")()
        options.setSourceEncoding("UTF-8")
        parent = JClass("qupath.lib.objects.PathObject").class_.getClassLoader()
        first = JClass("groovy.lang.GroovyClassLoader")(parent, options)
        loader = JClass(first.parseClass(JClass("java.io.File")(lib, "Her2Loader.groovy"))).of(lib)
        shared.put(key, loader)
    return JClass(loader.loadClass(name))


def _open_project(path: str) -> Any:
    image = JClass("java.awt.image.BufferedImage")
    # The initialiser of this class registers the image servers that QuPath's project reader needs.
    JClass("java.lang.Class").forName("qupath.lib.images.servers.ImageServers")
    return JClass("qupath.lib.projects.ProjectIO").loadProject(JClass("java.io.File")(path), image)


def _to_python(value: Any) -> Any:
    """Return a Java map or list as plain Python objects."""
    # By way of JSON: JPype would convert number by number, and leave Java strings in place.
    gson = JClass("com.google.gson.GsonBuilder")().serializeNulls().create()
    return json.loads(str(gson.toJson(value)))


def _java_list(texts: list[str] | None) -> Any:
    if texts is None:
        return None
    result = JClass("java.util.ArrayList")()
    for text in texts:
        result.add(text)
    return result


def _listener(channel: EventChannel) -> Any:
    return JProxy(
        "java.util.function.Consumer", dict={"accept": lambda text: channel.send(**json.loads(str(text)))}
    )


def _canceller(channel: EventChannel) -> Any:
    return JProxy("java.util.function.BooleanSupplier", dict={"getAsBoolean": channel.is_cancelled.is_set})


def _export(request: dict[str, Any], channel: EventChannel) -> dict[str, Any]:
    project = _open_project(request["project"])
    export = her2_class("Her2Export")(project, JClass("java.io.File")(str(Path(request["her2"]))))
    export.setWithCells(bool(request.get("cells")))
    export.setWithPixels(bool(request.get("pixels")))
    export.setListener(_listener(channel))
    export.setCancelled(_canceller(channel))
    found: dict[str, Any] = _to_python(export.run(_java_list(request.get("only"))))
    return found


def _push(request: dict[str, Any], channel: EventChannel) -> dict[str, Any]:
    project = _open_project(request["project"])
    importer = her2_class("Her2Import")(project, JClass("java.io.File")(request["her2"]))
    importer.setDryRun(bool(request["dry_run"]))
    importer.setReplacesLost(bool(request["replace_lost"]))
    importer.setCancelled(_canceller(channel))
    data = her2_class("Her2DataFile")
    done = []
    for entry in project.getImageList():
        if str(entry.getID()) not in request["only"]:
            continue
        channel.send(event="started", image=str(entry.getID()), name=str(entry.getImageName()))
        try:
            moved = data.ofMoved(project, entry)
            # If the image file moved together with its project, QuPath itself would not find it; pass it in opened.
            opened = {} if moved is None else {entry.getID(): moved}
            importer.setOpen(JClass("java.util.HashMap")(opened))
            outcome = _to_python(importer.push(entry))
        except jpype.JException as error:
            # What an image was too large for is free again once it is left, and the next one may be smaller.
            is_too_large = str(error.getClass().getSimpleName()) == "OutOfMemoryError"
            reason = out_of_memory(request["version"], request["heap_mb"]) if is_too_large else _reason(error)
            outcome = {"state": "refused", "image": str(entry.getID()), "reason": reason}
        outcome["name"] = str(entry.getImageName())
        channel.send(event="image", **outcome)
        done.append(outcome)
    return {"images": done}


def _preferences(request: dict[str, Any], _: EventChannel) -> dict[str, Any]:
    """Return QuPath's user folder and start-up script, after changing those named in the request."""
    prefs = JClass("qupath.lib.gui.prefs.PathPrefs")
    known = {"user_folder": prefs.userPathProperty(), "startup": prefs.startupScriptProperty()}
    wanted = request.get("set") or {}
    for name, value in wanted.items():
        known[name].setValue(None if value is None else JClass("java.lang.String")(value))
    if wanted:
        prefs.savePreferences()
    found = {name: setting.getValue() for name, setting in known.items()}
    return {name: None if value is None or not str(value) else str(value) for name, value in found.items()}


if __name__ == "__main__":
    main()
