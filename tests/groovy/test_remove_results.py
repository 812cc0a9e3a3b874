from __future__ import annotations

import re

import pytest

from tests.groovy.conftest import SCRIPTS
from tests.groovy.studies import Study
from tests.groovy.test_import_results import closing_lines, status
from tests.groovy.test_writeback_round import ours_in
from tests.helpers.qupath import QuPath

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def test_imported_results_are_removed(study: Study) -> None:
    study.write_run()
    before = study.replay("dump=before", "push").dump("before")
    pushed = study.data.read_bytes()
    dry = study.run("remove_results.groovy", "--args", "dryRun")
    counts = "image=1_drawn removed=80 edited=0 restored=0 lost=0"
    assert closing_lines(dry) == [f"HER2_REMOVE_RESULTS_OK state=would-remove {counts}"]
    assert study.data.read_bytes() == pushed

    done = study.run("remove_results.groovy")
    assert closing_lines(done) == [f"HER2_REMOVE_RESULTS_OK state=removed {counts}"]
    assert status(study, "remove")["removed"] == 80
    assert re.search(r"\d+ cells and .*the scores removed, 0 that you edited kept", done), done
    after = study.replay("dump=after").dump("after")
    assert ours_in(after) == []
    assert after["objects"] == before["objects"]
    assert after["metadata"] == before["metadata"]


def test_objects_of_a_lost_run_are_kept_and_reported(study: Study) -> None:
    run = study.write_run()
    study.replay("push")
    (run / "run.json").unlink()
    done = study.run("remove_results.groovy")
    counts = "image=1_drawn removed=0 edited=0 restored=0 lost=80"
    assert closing_lines(done) == [f"HER2_REMOVE_RESULTS_OK state=removed {counts}"]
    assert "80 were kept because the folder of their run is gone" in done


def test_image_without_results_is_unchanged(study: Study) -> None:
    """Even if the project was never exported."""
    (study.her2 / "images.json").unlink()
    before = study.replay("dump=before").dump("before")
    done = study.run("remove_results.groovy")
    assert closing_lines(done) == [
        "HER2_REMOVE_RESULTS_OK state=removed image=1 removed=0 edited=0 restored=0 lost=0"
    ]
    assert study.replay("dump=after").dump("after")["objects"] == before["objects"]


def test_without_a_project_the_message_says_what_to_do(
    qupath: QuPath, tmp_path_factory: pytest.TempPathFactory
) -> None:
    done = qupath.run(SCRIPTS / "remove_results.groovy", private=tmp_path_factory.mktemp("private"))
    assert done.returncode != 0
    assert "No image of a project is open, so there is nothing to remove." in done.stdout + done.stderr
    assert not closing_lines(done.stdout)
