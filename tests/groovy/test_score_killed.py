"""QuPath is killed while scoring: the image is unchanged or completely scored, and the next run completes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import Fields, closing, make_fields, python_program
from tests.groovy.test_score_image import seen
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: kill -9 is POSIX"),
]
PATIENCE_S = 900
KILLS = int(os.environ.get("HER2_KILLS", "3"))


def start_scoring(fields: Fields, python: Path, pixel_size_um: float) -> subprocess.Popen[bytes]:
    options = {
        "java.util.prefs.userRoot": fields.private,
        "qupath_her2.python": python,
        "qupath_her2.groovy": SCRIPTS,
    }
    words = ["--args", f"pixel-size-um={pixel_size_um}", "--args", "force"]
    return subprocess.Popen(
        [
            *(str(fields.qupath.launcher), "script", str(SCRIPTS / "score_image.groovy")),
            *("-p", str(fields.project), "-i", "case01", *words),
        ],
        env={**os.environ, "JAVA_TOOL_OPTIONS": " ".join(f'-D{k}="{v}"' for k, v in options.items())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_qupath_or_python_killed_while_scoring(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "a study", tmp_path / "private")
    python = python_program(tmp_path)
    people = regions(seen(fields))
    exported = fields.her2 / "regions" / "1_case01.geojson"
    start = time.monotonic()
    first = closing(fields.on_image("score_image.groovy", python=python))
    whole = time.monotonic() - start
    assert first["score"] == "3+"
    drawn = exported.read_bytes()
    moments = random.Random(f"score {qupath.version}")
    met = 0
    for i in range(3 * KILLS):
        if met == KILLS:
            break
        running = start_scoring(fields, python, 0.5 + 0.0003 * i)
        moment = moments.uniform(0.05, 1.0) * whole
        end = time.monotonic() + moment
        while time.monotonic() < end and running.poll() is None:
            time.sleep(0.01)
        pythons: list[psutil.Process] = []
        if running.poll() is None:
            pythons = [
                p
                for p in psutil.Process(running.pid).children(recursive=True)
                if "qupath_her2" in p.cmdline()
            ]
            met += 1
        else:
            # The first run took longer: it compiled its loops, or the machine was busier.
            whole = moment
        # Kill Python, both, or QuPath alone: then Python continues for a while, as nothing stops it.
        targets = pythons if i % 2 and pythons else [running, *(pythons if i % 4 else [])]
        for process in targets:
            process.kill()
        running.wait(PATIENCE_S)
        # A Python that is still working holds the image's lock; it ends by itself.
        _, alive = psutil.wait_procs(pythons, timeout=PATIENCE_S)
        assert not alive
        said = fields.on_image("score_image.groovy", python=python)
        assert closing(said)["score"] == "3+", (i, said)
        assert exported.read_bytes() == drawn
    found = seen(fields)
    assert found["cells"] == int(first["added"])
    assert regions(found) == people
    left = [path.name for path in (fields.her2 / "results").rglob("*") if path.suffix in (".tmp", ".lock")]
    assert left == []
    assert met == KILLS


def regions(found: dict[str, Any]) -> list[dict[str, float]]:
    """The regions' measurements, without ours."""
    return [{k: v for k, v in region.items() if not k.startswith("HER2: ")} for region in found["regions"]]
