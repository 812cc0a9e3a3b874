"""The process in which QuPath runs for Python; started by `project.qupath.jvm`, spoken to in lines of JSON.

It loads the very classes of ``groovy/lib`` that the scripts inside QuPath use, through Groovy's own class
loader, so that there is one piece of code that reads and writes QuPath's objects.
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

from qupath_her2.project.qupath.scripts import groovy_folder

__all__ = ["main"]

#: How long work may go on after the parent is gone: an image that is being saved is finished.
_GRACE_S = 20.0
#: What the library throws when it was asked to stop.
_CANCELLED = ("Her2Cancelled", "CancellationException")


class Talk:
    """Events to the parent, and its wish to stop."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.is_cancelled = threading.Event()

    def say(self, **event: Any) -> None:
        """Send one event."""
        try:
            self._out.write(json.dumps(event).encode() + b"\n")
            self._out.flush()
        except BrokenPipeError:
            self.is_cancelled.set()

    def watch(self, source: IO[bytes]) -> None:
        """Wait in the background for the end of the input: the parent cancels by closing it, or is dead."""
        threading.Thread(target=self._wait_for_end, args=(source,), daemon=True).start()

    def _wait_for_end(self, source: IO[bytes]) -> None:
        while source.read(1):
            pass
        self.is_cancelled.set()
        threading.Event().wait(_GRACE_S)
        os._exit(130)


def main() -> None:
    """Read the request, do it, say what came of it, and end the process."""
    # What Java, JPype and QuPath print must not get between the events.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.readline())
    talk = Talk(out)
    talk.watch(sys.stdin.buffer)
    code = 1
    try:
        _serve(request, talk)
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        # Java's threads would keep an ordinary end waiting.
        sys.stderr.flush()
        os._exit(code)


def _serve(request: dict[str, Any], talk: Talk) -> None:
    options = [f"-Xmx{request['heap_mb']}m", "-Djava.awt.headless=true"]
    start_jvm(finder_kwargs={"qupath_dir": request["qupath"], "java_opts": options})
    verbs = {"export": _export, "push": _push, "preferences": _preferences}
    try:
        talk.say(event="result", **verbs[request["verb"]](request, talk))
    except jpype.JException as error:
        _say_error(talk, error)
        return
    if request["verb"] != "preferences":
        # Later starts are quicker by seconds; not while scripts are installed or taken away.
        her2_class("Her2Compiled").keep()


def _say_error(talk: Talk, error: Any) -> None:
    name = str(error.getClass().getSimpleName())
    cancelled = name in _CANCELLED
    talk.say(event="error", kind=name, error=str(error.getMessage()) if cancelled else _reason(error))


def _reason(error: Any) -> str:
    """Return in words why one image could not be done; what ends all of them is raised again."""
    name = str(error.getClass().getSimpleName())
    if name in (*_CANCELLED, "OutOfMemoryError"):
        raise error
    if name == "Her2Refusal":
        return str(error.getMessage())
    error.printStackTrace()
    return f"QuPath: {name}: {error.getMessage()}"


def her2_class(name: str) -> Any:
    """Return a class of ``groovy/lib``; the loader is kept where the scripts keep theirs, one a JVM."""
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
    # QuPath's reader of projects knows the kinds of image servers once this class has been initialised.
    JClass("java.lang.Class").forName("qupath.lib.images.servers.ImageServers")
    return JClass("qupath.lib.projects.ProjectIO").loadProject(JClass("java.io.File")(path), image)


def _plain(value: Any) -> Any:
    """Return what a Java map or list holds as Python's own."""
    gson = JClass("com.google.gson.GsonBuilder")().serializeNulls().create()
    return json.loads(str(gson.toJson(value)))


def _strings(words: list[str] | None) -> Any:
    if words is None:
        return None
    listed = JClass("java.util.ArrayList")()
    for word in words:
        listed.add(word)
    return listed


def _listener(talk: Talk) -> Any:
    return JProxy(
        "java.util.function.Consumer", dict={"accept": lambda text: talk.say(**json.loads(str(text)))}
    )


def _canceller(talk: Talk) -> Any:
    return JProxy("java.util.function.BooleanSupplier", dict={"getAsBoolean": talk.is_cancelled.is_set})


def _export(request: dict[str, Any], talk: Talk) -> dict[str, Any]:
    project = _open_project(request["project"])
    export = her2_class("Her2Export")(project, JClass("java.io.File")(str(Path(request["her2"]))))
    export.setWithCells(bool(request.get("cells")))
    export.setWithPixels(bool(request.get("pixels")))
    export.setListener(_listener(talk))
    export.setCancelled(_canceller(talk))
    found: dict[str, Any] = _plain(export.run(_strings(request.get("only"))))
    return found


def _push(request: dict[str, Any], talk: Talk) -> dict[str, Any]:
    project = _open_project(request["project"])
    way_in = her2_class("Her2Import")(project, JClass("java.io.File")(request["her2"]))
    way_in.setDryRun(bool(request["dry_run"]))
    way_in.setCancelled(_canceller(talk))
    data = her2_class("Her2DataFile")
    done = []
    for entry in project.getImageList():
        if str(entry.getID()) not in request["only"]:
            continue
        try:
            moved = data.ofMoved(project, entry)
            shown = {} if moved is None else {entry.getID(): moved}
            way_in.setOpen(JClass("java.util.HashMap")(shown))
            words = _plain(way_in.push(entry))
        except jpype.JException as error:
            words = {"state": "refused", "image": str(entry.getID()), "reason": _reason(error)}
        words["name"] = str(entry.getImageName())
        talk.say(event="image", **words)
        done.append(words)
    return {"images": done}


def _preferences(request: dict[str, Any], _: Talk) -> dict[str, Any]:
    """Return QuPath's user folder and start-up script, changed first where the request says so."""
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
