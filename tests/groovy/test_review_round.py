"""A review of 200 cells, 3 deleted ones and 3 regions comes back exactly, survives a new score, and can be undone."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qupath_her2.cli import app
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.review.round_files import read_rounds
from qupath_her2.synthetic.example_project import write_field
from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import HERE, Fields, closing, project_of, run_of
from tests.groovy.test_corrections import counted
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]
N_CELLS = 200
SIDE_PX = 448


def script(fields: Fields, *words: str, save: tuple[str, ...] = ("-s",)) -> str:
    arguments = [x for word in (str(fields.her2), str(SCRIPTS / "lib"), *words) for x in ("--args", word)]
    on = ("-p", str(fields.project), "-i", "case01", *save)
    return fields.run(HERE / "review_round.groovy", *on, *arguments)


def listed(said: str, name: str) -> list[list[str]]:
    (line,) = re.findall(rf"^{name} (.*)$", said, re.MULTILINE)
    return [part.split("|") for part in line.split(";")]


def collect(fields: Fields) -> list[tuple[str, ...]]:
    """Export and collect; return the changes of the last round that are new."""
    assert "HER2_EXPORT_REGIONS_OK" in fields.run("export_regions.groovy", "-p", str(fields.project))
    words = ["review", "collect", str(fields.folder), "--no-qupath", "--reviewer", "Anna"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    rounds, problems = read_rounds(fields.her2)
    assert problems == []
    return [
        (one.kind, one.uuid, one.change, one.before, one.after) for one in rounds[-1].new if not one.is_undone
    ]


def test_a_review_comes_back_exactly_and_survives_a_new_score(qupath: QuPath, tmp_path: Path) -> None:
    folder = tmp_path / "a study"
    folder.mkdir()
    write_field(folder, "case01", score="2+", seed=104, side_px=SIDE_PX)
    fields = project_of(qupath, folder, tmp_path / "private", 0.5)
    assert "PROPOSED 2" in script(fields, "0")
    closing(fields.on_image("score_image.groovy", "-s"))

    said = script(fields, str(N_CELLS), "undo")
    assert "SAME true CHANGED true MARK false" in said, said

    said = script(fields, str(N_CELLS))
    cells, regions = listed(said, "CELLS"), listed(said, "REGIONS")
    assert (len(cells), len(regions)) == (N_CELLS, 3)
    expected = {("cell", uuid, "reclassified", before, after) for uuid, before, after in cells}
    deleted_cells = listed(said, "DELETED")
    assert len(deleted_cells) == 3
    expected |= {("cell", uuid, "deleted", before, "") for uuid, before in deleted_cells}
    accepted, deleted, rejected = regions
    expected |= {
        ("region", accepted[0], "class changed", "Tumor?", "Tumor"),
        ("region", deleted[0], "removed", "Tumor?", ""),
        ("region", rejected[0], "class changed", "Tumor", "Ignore*"),
    }
    assert (accepted[1], deleted[1], rejected[1]) == ("Tumor", "removed", "Ignore*")
    found = collect(fields)
    assert len(found) == len(expected)
    assert set(found) == expected

    closing(fields.on_image("score_image.groovy", "-s"))
    # Those in the region that was rejected count no longer.
    assert re.search(r"\d+ cells you changed and [1-3] you deleted", read_run(run_of(fields))[2].reason)
    assert counted(fields, "case01")
    # Nothing is lost, and nothing is new: what a person changed still differs from what runs wrote.
    words = ["review", "changes", str(fields.folder), "--json"]
    assert "HER2_EXPORT_REGIONS_OK" in fields.run("export_regions.groovy", "-p", str(fields.project))
    after = CliRunner().invoke(app, words)
    assert after.exit_code == 0, after.output
    assert not [line for line in after.output.splitlines() if line.startswith("{")], after.output
