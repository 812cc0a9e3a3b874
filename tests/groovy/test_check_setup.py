"""The self-check from QuPath, and where it says that the report is."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.groovy.fields import closing, make_fields, program_of
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]


def test_set_up_is_checked_and_the_report_found(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "a study", tmp_path / "private")
    said = fields.on_image("check_setup.groovy")
    assert set(closing(said)) == {"python", "qupath_her2"}, said
    # QuPath itself runs the check, so it is not sought.
    assert re.search(rf"^QuPath +PASS +{re.escape(qupath.version)}, this one$", said, re.MULTILINE), said
    broken = program_of(tmp_path / "broken", 'echo "no module"; exit 3')
    assert "HER2_CHECK_SETUP_OK" not in fields.on_image("check_setup.groovy", python=broken)

    said = fields.on_image("open_report.groovy")
    assert "There is no report yet" in said
    assert "Score an image first: Extensions > HER2 > Score open image." in said
    assert closing(fields.on_image("score_image.groovy", "-s"))["state"] == "pushed"
    report = closing(fields.on_image("open_report.groovy"))["report"]
    assert unquote(report).removeprefix("file:") == str(fields.her2 / "report.html")
