"""*Score selection*: one annotation is scored, by the service or without it, beside the score of its image."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from qupath_her2.server.discovery import STATE_VARIABLE, RunningService, find_service, publish_service
from qupath_her2.synthetic.example_project import write_field
from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import HERE, Fields, closing, copy_of, make_fields, program_of, python_program
from tests.groovy.test_only_qupath_opens import write_ics
from tests.helpers.qupath import QuPath
from tests.unit.server.test_serve import start

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]

ONE = "0f4df1a6-7b54-4a3b-9a86-0d6f2c1c7b11"
TWO = "3b1d7c52-20ab-4d0e-8f65-9a6f0e5c2d22"
OWN = "was scored by a Python of its own, which takes longer"


@pytest.fixture(scope="module")
def _made_once(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Fields:
    folder = tmp_path_factory.mktemp("fields")
    return make_fields(qupath, folder / "a study", folder / "private", ("3+",), side_px=700)


@pytest.fixture
def fields(_made_once: Fields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fields]:
    """A fresh copy of a project with a drawn 3+ field; a service that QuPath starts is ended after the test."""
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    yield copy_of(_made_once, tmp_path)
    end_service(tmp_path / "state")


def end_service(state: Path) -> None:
    service = find_service(state)
    if service is not None:
        os.kill(service.pid, signal.SIGTERM)
        while find_service(state) is not None:
            time.sleep(0.1)


def draw(fields: Fields, uuid: str, *words: str) -> None:
    on = ("-p", str(fields.project), "-i", "case01", "-s")
    given = [part for word in (uuid, *words) for part in ("--args", word)]
    assert f"SELECTION {uuid}" in fields.run(HERE / "draw_selection.groovy", *on, *given)


def score(fields: Fields, uuid: str | None, *words: str, python: Path | None = None, **more: Any) -> str:
    named = () if uuid is None else (f"annotation={uuid}",)
    given = [part for word in (*named, *words) for part in ("--args", word)]
    return fields.on_image("score_selection.groovy", "-s", *given, python=python, **more)


def seen(fields: Fields) -> dict[str, Any]:
    said = fields.run(HERE / "see_selections.groovy", "-p", str(fields.project), "-i", "case01")
    lines = [line for line in said.splitlines() if line.startswith("SELECTIONS ")]
    assert lines, said
    content: dict[str, Any] = json.loads(lines[0].removeprefix("SELECTIONS "))
    return content


def test_selections_have_scores_of_their_own_until_the_image_is_scored(
    fields: Fields, tmp_path: Path
) -> None:
    before = seen(fields)
    draw(fields, ONE, "20", "20", "320", "660")
    said = score(fields, ONE)
    first = closing(said)
    service = find_service(tmp_path / "state")
    assert service is not None, said
    assert "Starting the service; next time about a second" in said
    assert OWN not in said
    # Slides and results of a service are its user's alone.
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (first["state"], first["score"], first["annotation"]) == ("pushed", "3+", ONE)
    assert "Research use only." in said
    status = json.loads((fields.her2 / "status" / "selection" / "1.json").read_bytes())
    assert (status["ok"], status["score"]) == (True, "3+")

    found = seen(fields)
    region = found["regions"][ONE]
    assert found["cells"] == region["cells"] == int(first["added"]) > 10
    assert region["className"] is None
    assert region["measured"]["HER2: 3+ %"] > 10
    assert region["texts"]["HER2: guideline"]
    # The image's own columns and its other annotations are as they were.
    assert found["metadata"] == before["metadata"]
    assert {uuid: found["regions"][uuid] for uuid in before["regions"]} == before["regions"]
    assert not (fields.her2 / "results").exists()
    assert found["steps"][-1] == "HER2: score selection"

    # Moved and corrected in between, and scored again: only its own cells are replaced.
    correct = ("--args", "2", "--args", "1")
    said = fields.run(
        HERE / "correct_cells.groovy", "-p", str(fields.project), "-i", "case01", "-s", *correct
    )
    assert "CORRECTED 2 1 0" in said, said
    again = closing(score(fields, ONE))
    assert find_service(tmp_path / "state") == service
    assert (again["edited"], again["lost"]) == ("2", "0")
    assert int(again["added"]) + 2 + int(again["suppressed"]) >= int(first["added"])
    kept = seen(fields)
    assert kept["regions"][ONE]["cells"] == int(again["added"]) + int(again["unchanged"]) + 2
    assert kept["regions"][ONE]["cells"] == int(first["added"]) - 1

    draw(fields, TWO, "360", "20", "320", "660", "In situ")
    other = closing(score(fields, TWO))
    found = seen(fields)
    assert found["regions"][TWO]["cells"] == int(other["added"]) > 10
    assert found["regions"][ONE] == kept["regions"][ONE]
    assert found["regions"][TWO]["className"] == "In situ"
    assert found["steps"].count("HER2: score selection") == 2

    draw(fields, TWO, "300", "20", "320", "660")
    said = score(fields, TWO)
    assert re.search(r"The selection holds \d+ cells of another selection that was scored", said), said
    assert seen(fields)["cells"] == found["cells"]

    said = fields.on_image("score_image.groovy", "-s")
    image = closing(said)
    assert "2 selections that you had scored by themselves were replaced by this score of the image." in said
    assert (image["fields"], image["edited"]) == ("2", "2")
    found = seen(fields)
    assert found["cells"] == int(image["added"]) + 2
    assert found["regions"][ONE]["measured"] == {}
    assert found["metadata"]["HER2 score"] == image["score"]
    assert not any(name.startswith("HER2 field") for name in found["properties"])
    assert found["steps"].count("HER2: score selection") == 0

    said = score(fields, ONE)
    assert re.search(r"The selection holds \d+ cells of the score that the image has", said), said
    fields.on_image("remove_results.groovy", "-s")
    assert seen(fields)["cells"] == 2


def test_a_removal_takes_selections_away_and_leaves_what_was_there(fields: Fields) -> None:
    draw(fields, ONE, "20", "20", "600", "600", "Tumor")
    before = seen(fields)
    assert closing(score(fields, ONE))["score"] == "3+"
    said = closing(fields.on_image("remove_results.groovy", "-s"))
    assert (said["state"], said["edited"], said["lost"]) == ("removed", "0", "0")
    assert seen(fields) == before


def test_where_no_service_can_be_started_a_python_of_its_own_scores(fields: Fields, tmp_path: Path) -> None:
    draw(fields, ONE, "20", "20", "600", "600")
    real = python_program(tmp_path / "real")
    missing = 'Error: The service needs fastapi, not installed here: pip install "qupath-her2[serve]"'
    bare = program_of(
        tmp_path / "bare", f'case $3 in serve) echo \'{missing}\'; exit 1;; esac; exec "{real}" "$@"'
    )
    said = score(fields, ONE, "cells=from-regions", python=bare)
    found = closing(said)
    assert f"The service cannot be started: {missing.removeprefix('Error: ')} This selection {OWN}." in said
    assert "Score selection does not use cells that the image has." in said
    assert (found["state"], found["score"]) == ("pushed", "3+")
    by_run = seen(fields)
    # The service finds the same result, so that nothing changes.
    same = closing(score(fields, ONE))
    assert (same["run"], same["added"], same["unchanged"]) == (found["run"], "0", found["added"])
    assert seen(fields) == by_run


def test_where_the_folder_of_the_service_cannot_be_made(
    fields: Fields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "file" / "state"))
    draw(fields, ONE, "20", "20", "600", "600")
    said = score(fields, ONE)
    assert "The service cannot be started: " in said
    assert f"This selection {OWN}." in said
    assert closing(said)["score"] == "3+"


def test_a_service_without_the_folder_is_not_used(fields: Fields, tmp_path: Path) -> None:
    draw(fields, ONE, "20", "20", "600", "600")
    (tmp_path / "elsewhere").mkdir()
    process, service = start(tmp_path / "state", "--root", str(tmp_path / "elsewhere"))
    with process:
        said = score(fields, ONE)
        assert find_service(tmp_path / "state") == service
        process.kill()
    assert "may not read the folders of this project. End it where it was started" in said
    assert f"This selection {OWN}." in said
    assert closing(said)["score"] == "3+"


def test_a_service_that_this_session_started_gets_further_folders(fields: Fields, tmp_path: Path) -> None:
    slides = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_field(tmp_path / name, name, score="3+", seed=8, side_px=320)
        slides += ["--args", str(tmp_path / name / f"{name}.ome.tif")]
    said = fields.run(HERE / "warm_services.groovy", *slides, "--args", str(tmp_path / "runs"))
    found = re.findall(r"WARM cells=(\d+) pid=(\d+)", said)
    assert len(found) == 2, said
    assert found[0][1] != found[1][1]
    assert all(int(cells) > 20 for cells, _ in found)


@contextmanager
def pretended(state: Path, **health: Any) -> Iterator[None]:
    """Something that answers like a service of another version."""
    content = json.dumps({"status": "ok", "pid": os.getpid(), **health}).encode()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    publish_service(state, RunningService(url, "token", os.getpid(), "0.9"))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        (state / "service.json").unlink()


def test_a_service_of_another_version_is_not_used(fields: Fields, tmp_path: Path) -> None:
    draw(fields, ONE, "20", "20", "600", "600")
    installed = shutil.copytree(SCRIPTS, tmp_path / "installed")
    (installed / "her2.json").write_text('{"version": "1.7"}', encoding="utf-8")
    script = installed / "score_selection.groovy"
    on = ("-p", str(fields.project), "-i", "case01", "-s", "--args", f"annotation={ONE}")
    with pretended(tmp_path / "state", version="0.9", api="1"):
        said = fields.run(script, *on)
    assert "The service that runs is of qupath-her2 0.9, and these scripts are of 1.7. End it" in said
    assert f"This selection {OWN}." in said
    assert closing(said)["score"] == "3+"
    with pretended(tmp_path / "state", version="2.0", api="2"):
        said = score(fields, ONE)
    assert "The service that runs is of qupath-her2 2.0, and these scripts are of another version." in said
    assert closing(said)["unchanged"] != "0"


def test_what_cannot_be_scored_says_what_to_do(fields: Fields) -> None:
    assert "No annotation is selected. Draw an annotation where you want a score" in score(fields, None)
    assert f"There is no annotation {TWO} in this image." in score(fields, TWO)
    assert "Unknown argument 'whole-tissue'" in score(fields, ONE, "whole-tissue")


def test_an_image_that_only_qupath_opens(fields: Fields) -> None:
    write_ics(fields.folder / "case01.ics", fields.folder / "case01.ome.tif")
    on = ("-p", str(fields.project))
    fields.run(HERE / "add_image.groovy", *on, "--args", str(fields.folder / "case01.ics"))
    said = fields.run(HERE / "see_selections.groovy", *on, "-i", "case01.ics")
    (region,) = re.findall(r'"regions":\{"([0-9a-f-]{36})"', said)
    said = score(fields, region, image="case01.ics")
    assert "Python cannot read this image by itself" in said
    assert "choose Extensions > HER2 > Score open image, which hands over the pixels." in said
    # Once its pixels were handed over, they are at hand for selections too.
    assert closing(fields.on_image("score_image.groovy", "-s", image="case01.ics"))["score"] == "3+"
    fields.on_image("remove_results.groovy", "-s", image="case01.ics")
    assert closing(score(fields, region, image="case01.ics"))["score"] == "3+"
