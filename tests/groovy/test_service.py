"""The service as QuPath's scripts find and use it; the time of a field is printed, and never asserted."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qupath_her2.project.exchange.runs import read_run
from qupath_her2.server.discovery import STATE_VARIABLE, RunningService, publish_service
from qupath_her2.synthetic.example_project import write_field
from tests.groovy.conftest import MAKE_PROJECT
from tests.groovy.fields import CORE_UM_PX, HERE, REAL_DATA, Fields
from tests.helpers.qupath import QuPath
from tests.unit.server.test_serve import start

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the service is started as by a shell"),
]


def fields_of(qupath: QuPath, folder: Path, *words: str) -> str:
    """Run the script that scores fields; return what it said."""
    arguments = [part for word in words for part in ("--args", word)]
    return Fields(qupath, folder, folder / "private").run(HERE / "score_fields.groovy", *arguments)


def test_a_field_arrives_as_a_run_that_the_import_reads(
    qupath: QuPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, drawn, out = tmp_path / "state", tmp_path / "drawn", tmp_path / "runs"
    drawn.mkdir()
    write_field(drawn, "strong", score="3+", seed=8, side_px=420, stroma=0.1, out_of_focus=0.0)
    monkeypatch.setenv(STATE_VARIABLE, str(state))
    process, service = start(state, "--root", str(drawn))
    slide = drawn / "strong.ome.tif"
    with process:
        said = fields_of(qupath, tmp_path, str(slide), str(out), "300", "2", "{}", "20")
        refused = fields_of(qupath, tmp_path, str(tmp_path / "secret.png"), str(out), "300", "1", "{}", "20")
        process.kill()
    assert f"FOLDER {state}" in said, said
    assert "STATES [/u/local, /h/Library/Application Support, /u/state]" in said
    assert f"SERVICE {service.version}" in said
    found = re.findall(r"FIELD cells=(\d+) score=(\S+) ms=\d+", said)
    assert len(found) == 2, said
    for number, (cells, score) in enumerate(found):
        (run,) = (out / f"field {number}").iterdir()
        _, table, stored = read_run(run)
        assert table is not None
        assert (int(cells), score) == (len(table), stored.score)
        assert len(table) > 20
    assert "THROWN Her2NoService: The service that runs may not read the folders of this project." in refused


def test_a_service_that_is_gone_or_of_another_version(
    qupath: QuPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    words = ("x", str(tmp_path), "1", "1", "{}", "20")
    assert "SERVICE null" in fields_of(qupath, tmp_path, *words)
    publish_service(tmp_path, RunningService("http://127.0.0.1:9", "token", os.getpid(), "0.1"))
    assert "SERVICE null" in fields_of(qupath, tmp_path, *words)


@pytest.mark.real_data
@pytest.mark.skipif(REAL_DATA not in os.environ, reason="NOT TESTED: QUPATH_HER2_REAL_DATA is not set")
def test_click_to_saved_cells_on_a_core(
    qupath: QuPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """*Score selection* of 1024 x 1024 px of a real core in a project, from the click to the saved image."""
    core = sorted(Path(os.environ[REAL_DATA]).glob("her2_tma_cores/3_*.jpg"))[0]
    folder = tmp_path / "study"
    folder.mkdir()
    shutil.copy(core, folder / "core.jpg")
    (tmp_path / "make_project.groovy").write_text(MAKE_PROJECT, encoding="utf-8")
    fields = Fields(qupath, folder, tmp_path / "private")
    words = ("--args", str(folder), "--args", str(folder / "core.jpg"))
    fields.run(tmp_path / "make_project.groovy", *words)
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    process, _ = start(tmp_path / "state", "--root", str(folder))
    with process:
        clicks = ("--args", "8", "--args", "1024", "--args", "2000")
        said = fields.run(HERE / "click_selections.groovy", "-p", str(fields.project), "-i", "drawn", *clicks)
        process.kill()
    found = re.findall(r"CLICK cells=(\d\d+) ms=(\d+) own=(\d+) service=(\d+) read=(\d+)", said)
    assert len(found) == 8, said
    # Shown by --log-cli-level=INFO.
    logging.getLogger(__name__).info(
        "QuPath %s: click to saved cells %s ms, %s ms of QuPath's processor time; a request alone %s ms, reading its "
        "run %s ms",
        qupath.version,
        *([int(one[column]) for one in found] for column in (1, 2, 3, 4)),
    )


@pytest.mark.real_data
@pytest.mark.skipif(REAL_DATA not in os.environ, reason="NOT TESTED: QUPATH_HER2_REAL_DATA is not set")
def test_click_to_cells_on_a_core(qupath: QuPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field of 1024 x 1024 px of a real core, warm from Groovy, beside a cold run of the same field."""
    core = sorted(Path(os.environ[REAL_DATA]).glob("her2_tma_cores/3_*.jpg"))[0]
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    process, _ = start(tmp_path / "state", "--root", str(core.parent))
    options = json.dumps({"pixel_size_um": CORE_UM_PX})
    with process:
        said = fields_of(qupath, tmp_path, str(core), str(tmp_path / "runs"), "1024", "8", options, "2000")
        process.kill()
    times_ms = [int(ms) for ms in re.findall(r"FIELD cells=\d\d+ score=\S+ ms=(\d+)", said)]
    assert len(times_ms) == 8, said
    ring = [[2000, 2000], [3024, 2000], [3024, 3024], [2000, 3024], [2000, 2000]]
    region = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
    }
    cold = tmp_path / "cold"
    cold.mkdir()
    (cold / core.name).symlink_to(core)
    (cold / f"{core.stem}.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": [region]})
    )
    command = [sys.executable, "-m", "qupath_her2", "run", str(cold), "--pixel-size-um", str(CORE_UM_PX)]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    # Shown by --log-cli-level=INFO.
    logging.getLogger(__name__).info(
        "QuPath %s: the first field %d ms, the others %s ms; one-shot %.0f ms",
        qupath.version,
        times_ms[0],
        sorted(times_ms[1:]),
        1000 * (time.monotonic() - begun),
    )
