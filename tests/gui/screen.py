"""A virtual screen with one QuPath on it: what it shows, clicks, screenshots."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.qupath import QuPath, java_options

WATCH = Path(__file__).parent / "scripts" / "watch.groovy"
PROGRAMS = ("Xvfb", "openbox", "xdotool", "import")
SIZE = "1400x900"
#: A window opens in 8 s on an idle machine, but may take minutes on a busy one.
PATIENCE_S = 300.0


def missing_programs() -> list[str]:
    """Return the required programs that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


_MISSING = missing_programs()
#: Marks of every test that opens a window.
WINDOW_MARKS = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.window,
    pytest.mark.skipif(bool(_MISSING), reason=f"NOT TESTED: no {', '.join(_MISSING)} for a virtual screen"),
]


class Screen:
    """A QuPath running on a virtual display."""

    def __init__(self, display: str, watch: Path, process: subprocess.Popen[bytes]) -> None:
        self.display = display
        self.watch = watch
        self.process = process
        self._orders = 0

    def state(self) -> dict[str, Any]:
        """The current content of the window."""
        try:
            content: dict[str, Any] = json.loads(self.watch.read_bytes())
        except FileNotFoundError:
            return {"texts": [], "objects": {}, "metadata": {}, "image": None}
        return content

    def texts(self) -> list[str]:
        return [found["text"] for found in self.state()["texts"]]

    def box(self, words: str) -> str:
        """Wait for a text that contains these words, and return it."""
        state = self.wait(lambda s: any(words in t["text"] for t in s["texts"]), f"a text with '{words}'")
        return str(next(t["text"] for t in state["texts"] if words in t["text"]))

    def wait(
        self, is_there: Callable[[dict[str, Any]], Any], what: str, patience_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Wait until `is_there` holds for the state, and return the state."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            state = self.state()
            if is_there(state):
                return state
            assert self.process.poll() is None, f"QuPath ended while waiting for {what}"
            time.sleep(0.3)
        raise AssertionError(f"Not seen within {patience_s:.0f} s: {what}. There are {self.texts()}")

    def sees(self, is_there: Callable[[dict[str, Any]], Any], patience_s: float) -> bool:
        """Whether `is_there` holds for the state within some seconds."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            if is_there(self.state()):
                return True
            time.sleep(0.3)
        return False

    def wait_for(self, text: str, kind: str | None = None) -> dict[str, Any]:
        """Wait until a text is on the screen, in a node of this kind, and return the latest one with its position."""
        state = self.wait(lambda s: _having(s, text, kind), f"'{text}'")
        return _having(state, text, kind)[-1]

    def click(self, text: str, kind: str | None = None, *, times: int = 1) -> None:
        """Click on a text once it is there and no longer moves."""
        before, now = None, self.wait_for(text, kind)
        while before is None or (before["x"], before["y"]) != (now["x"], now["y"]):
            time.sleep(0.7)
            before, now = now, self.wait_for(text, kind)
        self._move(int(now["x"]), int(now["y"]))
        self._click(times)

    def choose(self, *path: str) -> None:
        """Click through a menu."""
        for text in path:
            self.click(text)

    def choose_file(self, title: str, path: Path) -> None:
        """Choose a file in the desktop's file dialog with this title, which is not a Java window."""
        self._xdotool("search", "--sync", "--onlyvisible", "--name", title)
        # The slash opens a field for the path; keys pressed before it is open are lost.
        closed = self.pixels()
        self._xdotool("key", "slash")
        self.until(lambda: self.pixels() != closed, "a field for the path")
        time.sleep(1)
        self._xdotool("key", "ctrl+a")
        self._xdotool("type", "--delay", "20", str(path))
        self._xdotool("key", "Return")
        self.until(lambda: not self._is_open(title), f"the end of '{title}'")

    def press(self, *keys: str) -> None:
        """Press keys, such as `r`, `Delete` or `ctrl+r`, in the window that has the focus."""
        for key in keys:
            self._xdotool("key", key)
            time.sleep(0.3)

    def at(self, x: float, y: float) -> tuple[int, int]:
        """The place on the screen of a point of the image, full-resolution px."""
        found = self.ask(
            "def viewer = qupath.getViewer(); def point = viewer.imagePointToComponentPoint("
            f"new java.awt.geom.Point2D.Double({x}, {y}), null, false); "
            "def there = viewer.getView().localToScreen(point.getX(), point.getY()); "
            "[there.getX(), there.getY()]"
        )
        return round(found[0]), round(found[1])

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse at a point of the image, move through the others, and release it."""
        places = [self.at(*point) for point in points]
        self._move(*places[0])
        self._xdotool("mousedown", "1")
        for place in places[1:]:
            self._move(*place)
        self._xdotool("mouseup", "1")
        time.sleep(0.5)

    def click_image(self, x: float, y: float, *, button: int = 1, times: int = 1) -> None:
        """Click on a point of the image."""
        self._move(*self.at(x, y))
        self._click(times, button)
        time.sleep(0.5)

    @contextmanager
    def held(self, key: str) -> Iterator[None]:
        """Hold a key, such as `ctrl`."""
        self._xdotool("keydown", key)
        try:
            yield
        finally:
            self._xdotool("keyup", key)

    def _click(self, times: int, button: int = 1) -> None:
        self._xdotool("click", "--repeat", str(times), "--delay", "60", str(button))

    def _move(self, x: int, y: int) -> None:
        self._xdotool("mousemove", str(x), str(y))
        # QuPath drops a drag whose events come in one burst.
        time.sleep(0.15)

    def _is_open(self, title: str) -> bool:
        words = ["xdotool", "search", "--onlyvisible", "--name", title]
        found = subprocess.run(words, env=self._environment(), capture_output=True, check=False)
        return bool(found.stdout.strip())

    def pixels(self) -> bytes:
        """The pixels of the whole screen."""
        words = ["import", "-display", self.display, "-window", "root", "rgb:-"]
        return subprocess.run(words, check=True, capture_output=True).stdout

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end, f"Not seen within {PATIENCE_S:.0f} s: {what}"
            time.sleep(0.3)

    def ask(self, groovy: str) -> Any:
        """Run a line on the JavaFX thread and return its value; not for lines that open a dialog."""
        answer = self.watch.with_name(self.watch.name + ".done")
        number = self.do(groovy)
        self.until(
            lambda: answer.exists() and json.loads(answer.read_bytes())["number"] == number,
            f"the answer to: {groovy}",
        )
        found = json.loads(answer.read_bytes())
        assert "problem" not in found, found["problem"]
        return found["value"]

    def do(self, groovy: str) -> int:
        """Start a line on the JavaFX thread, where `qupath` is the window; return its number."""
        self._orders += 1
        order = self.watch.with_name(self.watch.name + ".do")
        draft = order.with_name(order.name + ".tmp")
        draft.write_text(f"{self._orders}\n{groovy}", encoding="utf-8")
        draft.replace(order)
        self.until(lambda: not order.exists(), f"QuPath running: {groovy}")
        return self._orders

    def menu_ready(self) -> None:
        """Wait for the items of HER2's menu, which the start-up script adds in the background."""
        items = 'qupath.getMenu("Extensions>HER2", true).getItems().size()'
        self.until(lambda: self.ask(items) > 3, "the items of the menu")

    def picture(self, path: Path, *, at_once: bool = False) -> None:
        """Save a screenshot, once nothing moves any more: a new window is shown before it is placed and painted."""
        before = b""
        for _ in range(0 if at_once else 10):
            time.sleep(0.5)
            if before == (before := self.pixels()):
                break
        subprocess.run(["import", "-display", self.display, "-window", "root", str(path)], check=True)

    def _xdotool(self, *words: str) -> None:
        subprocess.run(["xdotool", *words], env=self._environment(), stdout=subprocess.DEVNULL, check=True)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "DISPLAY": self.display}


def _having(state: dict[str, Any], text: str, kind: str | None) -> list[dict[str, Any]]:
    # QuPath 0.5 writes no dots after the names of commands that open a dialog.
    wanted = text.removesuffix("...")
    return [
        found
        for found in state["texts"]
        if found["text"].removesuffix("...") == wanted and kind in (None, found["kind"])
    ]


@contextmanager
def screen(
    qupath: QuPath,
    project: Path | None,
    image: str | None,
    private: Path,
    *,
    python: Path,
    user: Path | None = None,
    first: Path | None = None,
    programs: Path | None = None,
) -> Iterator[Screen]:
    """Open an image of a project in QuPath's window; without a project, an empty window.

    `first` is a script to run when the window is open; `programs` is a folder of programs that take precedence over
    the system's, and of the desktop's settings for programs.
    """
    private.mkdir(parents=True, exist_ok=True)
    watch = private / "watch.json"
    options = {
        "java.util.prefs.userRoot": private,
        "prism.order": "sw",
        "qupath.startup.script": WATCH,
        "qupath_her2.python": python,
        "her2.watch": watch,
        **({"her2.user": user} if user else {}),
        **({"her2.first": first} if first else {}),
    }
    with ExitStack() as stack:
        display = stack.enter_context(_display())
        stack.enter_context(_running(["openbox"], {**os.environ, "DISPLAY": display}))
        environment = {
            **os.environ,
            "DISPLAY": display,
            **_with_programs(programs),
            "JAVA_TOOL_OPTIONS": java_options(options),
        }
        words = [str(qupath.launcher), "-q"]
        for option, value in (("-p", project), ("-i", image)):
            words += [] if value is None else [option, str(value)]
        log = stack.enter_context((private / "qupath.log").open("wb"))
        process = stack.enter_context(_running(words, environment, log))
        shown = Screen(display, watch, process)
        shown.wait(lambda s: "titles" in s and s["image"] == image, f"image '{image}' open")
        yield shown


def _with_programs(folder: Path | None) -> dict[str, str]:
    if folder is None:
        return {}
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "XDG_DATA_HOME": str(folder)}


@contextmanager
def _display() -> Iterator[str]:
    """A virtual display with a number chosen by the X server."""
    read, write = os.pipe()
    words = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{SIZE}x24", "-nolisten", "tcp"]
    process = subprocess.Popen(words, pass_fds=(write,), stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as answer:
            number = answer.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        _end(process)


@contextmanager
def _running(
    words: list[str], environment: dict[str, str], log: Any = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)
