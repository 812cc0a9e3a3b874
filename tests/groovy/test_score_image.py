from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.groovy.fields import HERE, Fields, closing, copy_of, make_fields, program_of
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]


@pytest.fixture(scope="module")
def _made_once(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Fields:
    folder = tmp_path_factory.mktemp("fields")
    return make_fields(qupath, folder / "a study", folder / "private", ("3+", "1+"))


@pytest.fixture
def fields(_made_once: Fields, tmp_path: Path) -> Fields:
    """A fresh copy of a project of this QuPath with two synthetic fields."""
    return copy_of(_made_once, tmp_path)


def seen(fields: Fields, image: str = "case01") -> dict[str, Any]:
    said = fields.run(HERE / "see.groovy", "-p", str(fields.project), "-i", image)
    lines = [line for line in said.splitlines() if line.startswith("SEEN ")]
    assert lines, said
    content: dict[str, Any] = json.loads(lines[0].removeprefix("SEEN "))
    return content


def test_open_image_is_scored_and_existing_cells_are_classified(fields: Fields) -> None:
    said = fields.on_image("score_image.groovy", "-s")
    words = closing(said)
    assert words["state"] == "pushed", said
    assert words["score"] == "3+"
    assert "Research use only." in said
    (run,) = (fields.her2 / "results").glob("1_*/*/score.json")
    warnings = json.loads(run.read_bytes())["warnings"]
    assert warnings
    # The notice in QuPath says them too.
    assert all(f"- {text}" in said for text in warnings[:5])

    found = seen(fields)
    assert found["cells"] == int(words["added"]) > 50
    assert set(found["classes"]) <= {"Tumor: Negative", "Tumor: 1+", "Tumor: 2+", "Tumor: 3+"}
    assert any(region.get("HER2: 3+ %", 0) > 10 for region in found["regions"])
    assert found["metadata"]["HER2 score"] == "3+"
    assert any(step.startswith("HER2: ") for step in found["steps"])
    status = json.loads((fields.her2 / "status" / "score" / "1.json").read_bytes())
    assert status["ok"] is True
    assert (fields.her2 / "report.html").is_file()
    assert seen(fields, "case02")["cells"] == 0

    adopted = fields.run(HERE / "adopt_cells.groovy", "-p", str(fields.project), "-i", "case01", "-s")
    assert f"ADOPTED {found['cells']}" in adopted, adopted
    said = fields.on_image("classify_cells.groovy")
    words = closing(said)
    assert words["added"] == "0", said
    assert int(words["classified"]) > 50
    again = seen(fields)
    assert again["cells"] == found["cells"]
    assert sum(n for name, n in again["classes"].items() if name.startswith("Tumor: ")) == int(
        words["classified"]
    )


def test_chosen_guideline_is_remembered_and_its_change_is_said(fields: Fields) -> None:
    gastric = "CAP/ASCP/ASCO gastric 2016, biopsy (chosen for this image)"
    chosen = ("--args", "site=gastric", "--args", "specimen=biopsy")
    first = closing(fields.on_image("score_image.groovy", "-s", *chosen))
    assert first["state"] == "pushed"
    # As from the menu, without arguments: the same run, so that no cell is replaced.
    said = fields.on_image("score_image.groovy", "-s")
    again = closing(said)
    assert (again["run"], again["removed"], again["unchanged"]) == (first["run"], "0", first["added"]), said
    assert f"Guideline: {gastric}." in said
    found = seen(fields)
    assert found["metadata"]["HER2 guideline"] == gastric
    assert {region["HER2: guideline"] for region in found["texts"]} == {gastric}

    said = fields.on_image("score_image.groovy", "-s", "--args", "guideline=auto")
    breast = "ASCO/CAP breast 2018/2023 (default)"
    assert f"Another guideline than before: {breast} instead of {gastric}" in said, said
    assert seen(fields)["metadata"]["HER2 guideline"] == breast


def test_script_created_from_the_workflow_scores_the_image_again(fields: Fields, tmp_path: Path) -> None:
    """The script from *Create script*, run after the results were removed, gives the same objects and score."""
    said = fields.on_image(
        "score_image.groovy", "--args", "specimen=biopsy", "--args", f"her2={tmp_path}/it's"
    )
    first = closing(said)
    assert first["state"] == "pushed", said
    before = seen(fields)
    assert [step for step in before["steps"] if "HER2" in step] == ["HER2: score open image"]
    script = tmp_path / "created.groovy"
    script.write_text(before["script"], encoding="utf-8")
    assert "'specimen=biopsy'] as String[])" in before["script"]
    fields.on_image("remove_results.groovy", "--args", f"her2={tmp_path}/it's")
    assert seen(fields)["cells"] == 0

    said = fields.run(script, "-p", str(fields.project), "-i", "case01")
    assert {**closing(said), "added": 0} == {**first, "added": 0}, said
    after = seen(fields)
    assert {**after, "steps": None, "script": None} == {**before, "steps": None, "script": None}


def test_first_of_qupaths_runs_scores_the_whole_project(fields: Fields) -> None:
    said = fields.run("score_project.groovy", "-p", str(fields.project), "-s")
    assert "HER2_SCORE_PROJECT_OK images=2 scored=2 failed=0" in said, said
    assert "HER2_SCORE_PROJECT_OK images=0 scored=0 failed=0" in said, said
    assert re.search(r"^case01 +3\+ +\d+\.\d +\d+$", said, re.MULTILINE), said
    assert {seen(fields, image)["metadata"]["HER2 score"] for image in ("case01", "case02")} <= {
        "3+",
        "2+",
        "1+",
    }
    assert seen(fields)["cells"] > 50


def test_images_without_a_score_or_by_name_are_scored(fields: Fields) -> None:
    def scored(*arguments: str) -> str:
        words = [word for argument in arguments for word in ("--args", argument)]
        return fields.on_image("score_project.groovy", *words)

    said = scored("image=case02", "site=gastric", "guideline=auto", "specimen=biopsy")
    assert "HER2_SCORE_PROJECT_OK images=1 scored=1 failed=0" in said, said
    (run,) = (fields.her2 / "results").glob("2_*/*/score.json")
    assert json.loads(run.read_bytes())["guideline"] == "CAP/ASCP/ASCO gastric 2016, biopsy"
    assert "HER2_SCORE_PROJECT_OK images=1 scored=1 failed=0" in scored("scope=unscored")
    assert "Every image of the project has a score" in scored("scope=unscored")
    assert "The project has no image 'case03'" in scored("image=case03")
    assert "Unknown scope 'some'. Available: open, unscored, all" in scored("scope=some")
    said = fields.on_image("score_image.groovy", "--args", "scope=all")
    assert "Unknown argument 'scope=all'" in said, said


def test_pythons_error_message_is_shown_and_nothing_is_changed(fields: Fields, tmp_path: Path) -> None:
    data = fields.folder / "data" / "1" / "data.qpdata"
    before = data.read_bytes()
    probe = "case $1 in -c) echo 3.12 9.9; exit 0;; esac"
    python = program_of(
        tmp_path / "python", f"{probe}; echo reading; echo 'Error: The disk is full of µm.' >&2; exit 1"
    )
    said = fields.on_image("score_image.groovy", python=python)
    assert said.startswith("exit 1")
    assert "Her2Refusal: The disk is full of µm." in said, said
    assert data.read_bytes() == before
    status = json.loads((fields.her2 / "status" / "score" / "1.json").read_bytes())
    assert (status["ok"], status["message"]) == (False, "The disk is full of µm.")

    said = fields.on_image("score_image.groovy", python=tmp_path / "no python")
    assert "does not exist any more. Install it as the README of qupath-her2 says" in said
    said = fields.on_image("score_image.groovy", "--args", "sight=gastric")
    assert "Unknown argument 'sight=gastric'. Available: her2=FOLDER, site=…" in said
