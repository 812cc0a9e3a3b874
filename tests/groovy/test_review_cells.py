"""Cells reviewed in QuPath: the queue is walked, answers are kept and taken back, and undo restores the image."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qupath_her2.cli import app
from qupath_her2.project.exchange.correction_files import corrections_path, read_corrections
from qupath_her2.review.labels import NOT_TUMOUR, list_labels
from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import HERE, Fields, closing, copy_of, make_fields
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]
CODES = {"0": 0, "1+": 1, "2+": 2, "3+": 3, "x": NOT_TUMOUR}


@pytest.fixture(scope="module")
def _made_once(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Fields:
    folder = tmp_path_factory.mktemp("fields")
    made = make_fields(qupath, folder / "a study", folder / "private", ("2+",))
    assert closing(made.on_image("score_image.groovy", "-s"))["score"] == "2+"
    done = CliRunner().invoke(app, ["review", "queue", str(made.folder), "--cells", "12"])
    assert done.exit_code == 0, done.output
    return made


@pytest.fixture
def fields(_made_once: Fields, tmp_path: Path) -> Fields:
    return copy_of(_made_once, tmp_path)


def review(fields: Fields, n: int, end: str, *save: str) -> str:
    words = (str(fields.her2), "Dr. Ágnes, MD", str(SCRIPTS / "lib"), str(n), end)
    on = ("-p", str(fields.project), "-i", "case01", *save)
    said = fields.run(HERE / "review_cells.groovy", *on, *(x for word in words for x in ("--args", word)))
    assert "SAID " in said, said
    return said


def answers(said: str) -> dict[str, str]:
    (line,) = re.findall(r"^SAID (.*)$", said, re.MULTILINE)
    return dict(word.split("=") for word in line.split())


def test_after_undo_the_image_is_the_same_byte_for_byte(fields: Fields) -> None:
    said = review(fields, 10, "undo")
    assert "SAME true CHANGED true MARK false LEFT 0" in said, said
    (path,) = (fields.her2 / "review" / "labels").iterdir()
    assert list_labels([path]) == ([], [])


def test_answers_are_kept_and_come_back_as_corrections(fields: Fields) -> None:
    first = review(fields, 6, "keep", "-s")
    assert "NUMBER 6 OF 12 ANSWERED 5" in first, first
    # The next session goes on with the cell that was taken back, and with those that nobody has seen.
    second = review(fields, 5, "keep", "-s")
    assert "OF 12 ANSWERED 9" in second, second
    said = {**answers(first), **answers(second)}
    assert len(said) == 9

    (path,) = (fields.her2 / "review" / "labels").iterdir()
    assert path.name == "window-dr-agnes-md.csv"
    labels, problems = list_labels([path])
    assert problems == []
    assert {one.uuid: one.code for one in labels} == {uuid: CODES[value] for uuid, value in said.items()}
    assert {one.reader for one in labels} == {"Dr. Ágnes, MD"}

    assert "HER2_EXPORT_REGIONS_OK" in fields.run("export_regions.groovy", "-p", str(fields.project))
    corrections = read_corrections(corrections_path(fields.her2 / "regions" / "x", "1_case01"))
    assert corrections is not None
    assert not corrections.deleted
    written = {str(one.uuid): one.class_name for one in corrections.changed}
    # Cells whose class was confirmed are no corrections.
    assert written
    for uuid, name in written.items():
        expected = "Ignore*" if said[uuid] == "x" else f"Tumor: {said[uuid].replace('0', 'Negative')}"
        assert name == expected
    assert {uuid for uuid, value in said.items() if value == "x"} <= set(written)


def test_blind_answers_leave_the_image_alone(fields: Fields) -> None:
    said = review(fields, 3, "blind")
    assert "SAME true CHANGED false MARK false LEFT 3" in said, said
    labels, _ = list_labels((fields.her2 / "review" / "labels").iterdir())
    assert [one.code for one in labels] == [0, 1, 2]


def test_half_a_line_of_a_killed_session_is_no_answer(fields: Fields) -> None:
    review(fields, 2, "keep")
    (path,) = (fields.her2 / "review" / "labels").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    review(fields, 1, "keep")
    labels, _ = list_labels([path])
    assert path.read_bytes().startswith(whole[:-30] + b"\n")
    assert len(labels) == 3
