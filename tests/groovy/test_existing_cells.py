"""Cells of QuPath's own detection: a membrane stain is scored with them, and a refusal leaves the earlier score."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from qupath_her2.project.exchange.runs import read_run
from tests.groovy.fields import HERE, REAL_DATA, Fields, closing, copy_of, make_cores, make_fields, run_of
from tests.groovy.test_corrections import check_image, counted
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]

EXPANSIONS_UM = (2, 3, 5)
#: Half of the cells of QuPath's detection hold no nucleus there; enough of the others must be left to score.
SIDE_PX = 640


@pytest.fixture(scope="module")
def _made_once(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Fields:
    folder = tmp_path_factory.mktemp("fields")
    return make_fields(qupath, folder / "a study", folder / "private", ("2+",), side_px=SIDE_PX)


@pytest.fixture
def fields(_made_once: Fields, tmp_path: Path) -> Fields:
    return copy_of(_made_once, tmp_path)


def detect(fields: Fields, expansion_um: float, image: str) -> int:
    words = ("-p", str(fields.project), "-i", image, "-s", "--args", str(expansion_um))
    said = fields.run(HERE / "detect_cells.groovy", *words)
    found = re.search(r"^DETECTED (\d+)$", said, re.MULTILINE)
    assert found is not None, said
    return int(found[1])


def seen(fields: Fields, image: str) -> dict[str, Any]:
    said = fields.run(HERE / "see.groovy", "-p", str(fields.project), "-i", image)
    lines = [line for line in said.splitlines() if line.startswith("SEEN ")]
    assert lines, said
    content: dict[str, Any] = json.loads(lines[0].removeprefix("SEEN "))
    return content


def check_classified(fields: Fields, number: int, steps: int = 0) -> None:
    """Score an image, then QuPath's own cells in it: scores differ by at most `steps`, and QuPath counts as we do."""
    image, ranks = f"case{number:02}", ("0", "1+", "2+", "3+")
    first = closing(fields.on_image("score_image.groovy", "-s", image=image))
    assert first["score"] in ranks
    for expansion_um in EXPANSIONS_UM:
        detected = detect(fields, expansion_um, image)
        said = fields.on_image("classify_cells.groovy", "-s", image=image)
        words = closing(said)
        assert words["state"] == "pushed", said
        score = check_image(run_of(fields, number), counted(fields, image)[image], fields.qupath)
        apart = abs(ranks.index(words["score"]) - ranks.index(first["score"]))
        assert apart <= steps, (expansion_um, said)
        # QuPath takes pieces of strong membranes for cells; where they are many, they do not count, and it says so.
        uncounted = int(words.get("uncounted", 0))
        assert int(words["classified"]) == score.n_cells
        assert 0.5 * detected < score.n_cells + uncounted <= detected
        told = f"{uncounted:,} existing cells without a nucleus are not counted."
        assert (told in said) == (told in score.reason) == (uncounted > 0), said


def test_qupaths_own_cells_in_a_membrane_stain_are_scored(fields: Fields) -> None:
    check_classified(fields, 1)


def test_cells_that_a_person_changed_count_once_where_existing_cells_lie(fields: Fields) -> None:
    """The cells that she changed stay when results are removed, on top of cells of QuPath's own detection."""
    detected = detect(fields, 3, "case01")
    fields.on_image("score_image.groovy", "-s")
    words = ("-p", str(fields.project), "-i", "case01", "-s", "--args", "10", "--args", "0")
    assert "CORRECTED 10 0 0" in fields.run(HERE / "correct_cells.groovy", *words)
    removed = closing(fields.on_image("remove_results.groovy", "-s"))
    assert removed["edited"] == "10"
    assert seen(fields, "case01")["cells"] == detected + 10

    for _ in range(2):
        said = fields.on_image("classify_cells.groovy", "-s")
        words_said = closing(said)
        covered = int(words_said["covered"])
        assert 1 < covered <= 10
        told = f"{covered} existing cells have no class: cells of HER2 that you changed lie there, and count."
        assert told in said, said
        score = check_image(run_of(fields, 1), counted(fields, "case01")["case01"], fields.qupath)
        assert "10 cells you changed are counted as you left them" in score.reason
        assert score.n_cells == int(words_said["classified"]) + 10
    # Removed once more, every cell of QuPath's has the class that it had: none.
    fields.on_image("remove_results.groovy", "-s")
    assert seen(fields, "case01")["classes"]["null"] == detected


def test_refusal_of_existing_cells_leaves_the_earlier_score(fields: Fields) -> None:
    assert closing(fields.on_image("score_image.groovy", "-s"))["score"] == "2+"
    before, run = seen(fields, "case01")["metadata"], run_of(fields, 1)
    detect(fields, 3, "case01")
    words = ("-p", str(fields.project), "-i", "case01", "-s", "--args", "5")
    assert "KEPT 5" in fields.run(HERE / "keep_cells.groovy", *words)

    # The second time, the refusal is found as stored.
    for _ in range(2):
        said = fields.on_image("classify_cells.groovy", "-s")
        assert closing(said)["state"] == "left", said
        assert "too few (at least 100 needed)" in said
        assert f"The earlier score 2+ of {date.today().isoformat()} was left as it was." in said
        found = seen(fields, "case01")
        assert (found["metadata"], found["cells"]) == (before, 5)
        assert run_of(fields, 1) == run
        assert read_run(run)[2].score == "2+"


@pytest.mark.skipif(REAL_DATA not in os.environ, reason=f"NOT TESTED: {REAL_DATA} is not set")
def test_qupaths_own_cells_in_real_cores_are_scored(qupath: QuPath, tmp_path: Path) -> None:
    cores = make_cores(qupath, tmp_path / "a study", tmp_path / "private")
    for number in (3, 4):
        # QuPath finds half of the nuclei that we find there, and a share near a cut-point may fall on its other side.
        check_classified(cores, number, steps=1)
