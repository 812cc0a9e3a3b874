"""*Score project* without a window: broken images, a QuPath that is killed between two images, and how it goes on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.groovy.conftest import PATIENCE_S, SCRIPTS
from tests.groovy.fields import Fields, make_fields, paused_python, run_of
from tests.groovy.test_score_image import seen
from tests.helpers.qupath import QuPath, java_options

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]


def n_cells(fields: Fields, number: int) -> int:
    """The cells that the result of an image counts."""
    return int(json.loads((run_of(fields, number) / "run.json").read_bytes())["counts"]["cells"])


def test_a_broken_image_is_named_and_the_others_are_scored(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "a study", tmp_path / "private", ("3+", "1+", "0"))
    broken = fields.folder / "data" / "2" / "data.qpdata"
    broken.write_bytes(b"not a data file")
    # Two at once, so that the broken image stands beside one that is being scored.
    said = fields.on_image("score_project.groovy", "--args", "workers=2")
    assert said.startswith("exit 1")
    assert "3 images: 2 scored, 0 without a score, 1 failed. Research use only." in said, said
    assert re.search(r"^case02: .+", said, re.MULTILINE), said
    assert broken.read_bytes() == b"not a data file"
    for number, score in ((1, "3+"), (3, "0")):
        image = seen(fields, f"case0{number}")
        assert (image["metadata"]["HER2 score"], image["cells"]) == (score, n_cells(fields, number))


def test_a_killed_qupath_keeps_what_was_finished_and_the_rest_is_scored_later(
    qupath: QuPath, tmp_path: Path
) -> None:
    fields = make_fields(qupath, tmp_path / "a study", tmp_path / "private", ("3+", "1+", "0"))
    paused, go_on = paused_python(tmp_path)
    options = {
        "java.util.prefs.userRoot": fields.private,
        "qupath_her2.python": paused,
        "qupath_her2.groovy": SCRIPTS,
    }
    words = ["script", str(SCRIPTS / "score_project.groovy"), "-p", str(fields.project)]
    first = fields.her2 / "status" / "score" / "1_case01.json"
    with subprocess.Popen(
        [str(qupath.launcher), *words],
        env={**os.environ, "JAVA_TOOL_OPTIONS": java_options(options)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        end = time.monotonic() + PATIENCE_S
        while not first.exists():
            assert running.poll() is None, "QuPath ended before its first image was done"
            assert time.monotonic() < end
            time.sleep(0.05)
        started = [*psutil.Process(running.pid).children(recursive=True), running]
        for process in started:
            process.kill()
    assert json.loads(first.read_bytes())["score"] == "3+"
    image = seen(fields)
    assert (image["metadata"]["HER2 score"], image["cells"]) == ("3+", n_cells(fields, 1))
    assert "HER2 score" not in seen(fields, "case02")["metadata"]

    go_on.touch()
    said = fields.run("score_project.groovy", "-p", str(fields.project), "--args", "scope=unscored")
    assert "HER2_SCORE_PROJECT_OK images=2 scored=2 failed=0" in said, said
    for number, score in ((1, "3+"), (2, "1+"), (3, "0")):
        image = seen(fields, f"case0{number}")
        assert (image["metadata"]["HER2 score"], image["cells"]) == (score, n_cells(fields, number))
