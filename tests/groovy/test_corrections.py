"""A person's corrections in QuPath count: her classes, her deletions; QuPath's own counts equal ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.records import CELL_CLASSES
from tests.groovy.fields import HERE, Fields, closing, copy_of, make_fields
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]

CHANGED, DELETED = 10, 3


@pytest.fixture(scope="module")
def _made_once(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Fields:
    folder = tmp_path_factory.mktemp("fields")
    return make_fields(qupath, folder / "a study", folder / "private", ("2+",))


@pytest.fixture
def fields(_made_once: Fields, tmp_path: Path) -> Fields:
    return copy_of(_made_once, tmp_path)


def correct(fields: Fields) -> None:
    words = ("--args", str(CHANGED), "--args", str(DELETED))
    said = fields.run(HERE / "correct_cells.groovy", "-p", str(fields.project), "-i", "case01", "-s", *words)
    assert f"CORRECTED {CHANGED} {DELETED}" in said, said


def run_of(fields: Fields) -> Path:
    (folder,) = (fields.her2 / "results").glob("1_*")
    run = current_run(fields.her2, folder.name)
    assert run is not None
    return run


def check_counts(fields: Fields) -> tuple[int, float | None]:
    """Compare QuPath's counts and H-score of each scored region with ours; return cells and H-score of the image."""
    said = fields.run(HERE / "counts.groovy", "-p", str(fields.project), "-i", "case01")
    lines = [line for line in said.splitlines() if line.startswith("COUNTED ")]
    assert lines, said
    shown = {region["id"]: region for region in json.loads(lines[0].removeprefix("COUNTED "))}
    record, table, score = read_run(run_of(fields))
    assert table is not None
    numbers = [str(region["uuid"]) for region in record.regions]
    for uuid, ours in score.regions.items():
        theirs = shown[uuid]["qupath"]
        assert theirs["Num Detections"] == ours.n_cells
        for name in CELL_CLASSES:
            assert theirs[f"Num {name}"] == round(ours.shares[name] * ours.n_cells), (name, theirs)
        assert theirs["Tumor: H-score"] == pytest.approx(ours.h_score, abs=1e-9)
        assert shown[uuid]["ours"]["HER2: H-score"] == pytest.approx(ours.h_score, abs=1e-9)
    assert len(score.regions) == len(numbers)
    assert len(table) == score.n_cells
    return score.n_cells, score.h_score


def reason(fields: Fields) -> str:
    return str(read_run(run_of(fields))[2].reason)


def test_corrected_cells_count_as_they_were_left(fields: Fields) -> None:
    first = closing(fields.on_image("score_image.groovy", "-s"))
    assert first["state"] == "pushed"
    before = check_counts(fields)
    correct(fields)

    said = fields.on_image("score_image.groovy", "-s")
    sentence = f"{CHANGED} cells you changed and {DELETED} you deleted are counted as you left them."
    assert sentence in said, said
    assert sentence in reason(fields)
    after = check_counts(fields)
    assert after[0] == before[0] - DELETED
    assert after[1] != before[1]

    # Scored a third time nothing is lost: neither the edited objects nor their classes.
    again = closing(fields.on_image("score_image.groovy", "-s"))
    assert again["state"] == "pushed"
    assert check_counts(fields) == after
    # Another guideline on the same cells keeps them, too.
    said = fields.on_image("score_image.groovy", "-s", "--args", "guideline=gastric-resection")
    assert sentence in said, said
    assert check_counts(fields)[0] == after[0]


def test_counts_of_overlapping_regions_holes_and_edges_are_qupaths(fields: Fields) -> None:
    fields.on_image("score_image.groovy", "-s")
    alone, _ = check_counts(fields)
    said = fields.run(HERE / "add_regions.groovy", "-p", str(fields.project), "-i", "case01", "-s")
    assert "DRAWN 2" in said, said
    said = fields.on_image("score_image.groovy", "-s")
    assert "Tumor regions overlap" in said, said
    together, _ = check_counts(fields)
    assert together > alone
    correct(fields)
    fields.on_image("score_image.groovy", "-s")
    assert check_counts(fields)[0] == together - DELETED
