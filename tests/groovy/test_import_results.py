from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.groovy.conftest import SCRIPTS
from tests.groovy.studies import Study
from tests.groovy.test_writeback_round import ours_in
from tests.helpers.qupath import QuPath

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def closing_lines(output: str) -> list[str]:
    return re.findall(r"^HER2_.*$", output, re.MULTILINE)


def status(study: Study, verb: str = "import") -> dict[str, object]:
    content: dict[str, object] = json.loads((study.her2 / "status" / verb / "1.json").read_bytes())
    return content


def test_current_result_is_imported_and_reported(study: Study) -> None:
    """With and without QuPath saving too (-s)."""
    before = study.data.read_bytes()
    nothing = study.run("import_results.groovy")
    assert closing_lines(nothing) == ["HER2_IMPORT_RESULTS_OK state=no-result image=1_drawn"]
    run = study.write_run()
    counts = "lost=0 suppressed=0 missing=0 added=80 removed=0 edited=0 classified=0 restored=0 unchanged=0"
    dry = study.run("import_results.groovy", "--args", "dryRun")
    assert closing_lines(dry) == [
        f"HER2_IMPORT_RESULTS_OK state=would-push image=1_drawn run={run.name} score=2+ {counts}"
    ]
    assert study.data.read_bytes() == before

    done = study.run("import_results.groovy", "-s")
    assert closing_lines(done) == [
        f"HER2_IMPORT_RESULTS_OK state=pushed image=1_drawn run={run.name} score=2+ {counts}"
    ]
    assert status(study)["ok"] is True
    assert status(study)["added"] == 80
    assert len(ours_in(study.replay("dump=pushed").dump("pushed"))) == 80
    metadata = json.loads(study.project.read_bytes())["images"][0]["metadata"]
    assert metadata["HER2 score"] == "2+"
    assert metadata["Case"] == "7"


def test_refused_result_is_an_error_and_leaves_a_status(study: Study) -> None:
    """The status matters because over a whole project QuPath's exit code is 0; -s saves nothing of ours."""
    run = study.write_run()
    (run / "cells.npz").write_bytes(b"x")
    said = study.run("import_results.groovy", "-s")
    assert said.startswith("exit 1")
    assert "was changed after the run. Score the image again" in said
    assert closing_lines(said) == []
    assert status(study)["ok"] is False
    assert "was changed after the run" in str(status(study)["message"])
    assert ours_in(study.replay("dump=after").dump("after")) == []


def test_score_entered_by_the_user_stays(study: Study) -> None:
    study.write_run()
    seen = study.replay(
        "edit=own-score", "save", "push", "push", "dump=pushed", "remove", "reopen", "dump=gone"
    )
    assert seen.dump("pushed")["metadata"]["HER2 score"] == "1+ (Dr. X)"
    assert seen.dump("pushed")["metadata"]["HER2 score (computed)"] == "2+"
    assert seen.dump("gone")["metadata"] == {"Case": "7", "HER2 score": "1+ (Dr. X)"}


def test_workflow_step_imports_again(study: Study, tmp_path: Path) -> None:
    """The line that *Create script* writes, run as a script on an image without results."""
    study.write_run()
    script = tmp_path / "created.groovy"
    script.write_text(f"run(new File('{SCRIPTS}/import_results.groovy'), new String[0])\n", encoding="utf-8")
    seen = study.replay("push-memory", "step")
    assert f"STEP {script.read_text(encoding='utf-8').strip()}" in seen.output.replace(
        str(tmp_path / "private" / "scripts"), str(SCRIPTS)
    )
    on = ("-p", str(study.project), "-i", "drawn")
    done = study.qupath.run(script, *on, private=study.private)
    assert [line.split(" image")[0] for line in closing_lines(done.stdout)] == [
        "HER2_IMPORT_RESULTS_OK state=pushed"
    ], done.stdout


def test_without_a_project_the_message_says_what_to_do(qupath: QuPath, tmp_path: Path) -> None:
    done = qupath.run(SCRIPTS / "import_results.groovy", private=tmp_path)
    assert done.returncode != 0
    assert "-p project.qpproj" in done.stdout + done.stderr
    assert not closing_lines(done.stdout)
