"""The parent side of the QuPath process, with small Python scripts in place of QuPath."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qupath_her2.errors import QuPathError
from qupath_her2.project.qupath import jvm, memory
from qupath_her2.project.qupath.installations import QuPath
from qupath_her2.project.qupath.jvm import call_qupath

SOME = QuPath("0.6.0", Path("somewhere"))


def test_too_little_memory_is_refused_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory_mb", lambda: 2000)
    monkeypatch.setattr(jvm, "_start", lambda _: pytest.fail("started"))
    with pytest.raises(QuPathError, match=r"about \d+ GB for 1,000,000 objects.*--heap"):
        call_qupath("export", {}, SOME, n_objects=1_000_000)


def test_the_child_imports_this_package_and_no_foreign_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONHOME", "CLASSPATH", "JAVA_HOME", "_JAVA_OPTIONS"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("PAQUO_QUPATH_DIR", "kept")
    environment = jvm._environment()
    assert "elsewhere" not in environment.values()
    assert environment["PAQUO_QUPATH_DIR"] == "kept"
    assert (Path(environment["PYTHONPATH"]) / "qupath_her2" / "project").is_dir()


Child = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    """Call a child that runs a few lines of Python; returns its events and the result."""

    def call(code: str) -> list[dict[str, Any]]:
        head = "import sys, json, os, time\nfirst = json.loads(sys.stdin.readline())\n"
        head += "say = lambda **e: print(json.dumps(e), flush=True)\n"

        def start(log: Any) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-c", head + code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

        monkeypatch.setattr(jvm, "_start", start)
        events: list[dict[str, Any]] = []
        events.append(call_qupath("verb", {"a": 1}, SOME, heap_mb=512, listen=events.append))
        return events

    return call


def test_events_come_before_the_result_and_the_request_arrives(child: Child) -> None:
    code = "say(event='image', name='ä'); say(event='result', got=first)"
    first, result = child(code)
    assert first == {"event": "image", "name": "ä"}
    assert result["got"] == {
        "verb": "verb",
        "a": 1,
        "qupath": "somewhere",
        "version": SOME.version,
        "heap_mb": 512,
    }


def test_a_refusal_is_raised_verbatim(child: Child) -> None:
    with pytest.raises(QuPathError, match=r"^Image 'a' is locked\.$"):
        child('say(event="error", error="Image \'a\' is locked.")')


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('one\\ntwo', file=sys.stderr); os._exit(9)", r"exit code 9.*\n  one\n  two"),
        ("print('java.lang.OutOfMemoryError: heap', file=sys.stderr); os._exit(1)", r"512 MB.*--heap 1024"),
        ("os._exit(0)", r"End of its log:\n  \(empty\)"),
        ("os.kill(os.getpid(), 9)", "exit code -9"),
    ],
)
def test_a_crash_is_reported_with_the_end_of_the_log(child: Child, code: str, message: str) -> None:
    with pytest.raises(QuPathError, match=f"(?s){message}"):
        child(code)


def test_cancelling_waits_for_the_child_to_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The child sees its input end, and may finish what it is saving."""
    code = (
        "import sys, json, time\nsys.stdin.readline()\nprint(json.dumps({'event': 'image'}), flush=True)\n"
        f"sys.stdin.read()\ntime.sleep(0.3)\nopen({str(tmp_path / 'finished')!r}, 'w').write('yes')\n"
    )
    started: list[subprocess.Popen[bytes]] = []

    def start(log: Any) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        )
        return started[0]

    def cancel(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jvm, "_start", start)
    with pytest.raises(KeyboardInterrupt):
        call_qupath("verb", {}, SOME, heap_mb=512, listen=cancel)
    assert started[0].poll() is not None
    assert (tmp_path / "finished").read_text() == "yes"


def test_a_child_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jvm, "_STOP_S", 0.2)
    stubborn = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    before = time.monotonic()
    jvm._stop(stubborn)
    assert time.monotonic() - before < 20
    assert stubborn.poll() is not None
    assert stubborn.stdout is not None
    stubborn.stdout.close()


def test_the_request_is_a_single_line(child: Child) -> None:
    """A line end in a name must not split the request."""
    (result,) = child("say(event='result', rest=first)")
    assert json.dumps(result).count("\n") == 0
