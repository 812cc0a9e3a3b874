"""Proposals from QuPath's menu: searched for in Python, accepted in QuPath, then scored."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.groovy.fields import HERE, Fields, closing, copy_of, make_fields
from tests.groovy.test_score_image import seen
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]


@pytest.fixture(scope="module")
def _made_once(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Fields:
    folder = tmp_path_factory.mktemp("fields")
    return make_fields(qupath, folder / "a study", folder / "private", ("3+",))


@pytest.fixture
def fields(_made_once: Fields, tmp_path: Path) -> Fields:
    """A fresh copy of a project of this QuPath with one synthetic field of carcinoma."""
    return copy_of(_made_once, tmp_path)


def decide(fields: Fields, what: str) -> int:
    said = fields.run(HERE / "decide.groovy", "-p", str(fields.project), "-i", "case01", "--args", what)
    lines = [line for line in said.splitlines() if line.startswith("DECIDED ")]
    assert lines, said
    return int(lines[0].split()[1])


def test_proposals_are_accepted_and_scored(fields: Fields) -> None:
    assert decide(fields, "forget") > 0
    said = fields.on_image("propose_regions.groovy")
    words = closing(said)
    assert words["state"] == "pushed", said
    n = int(words["proposed"])
    assert n > 0
    assert words["score"] == f"{n}_proposed"
    assert "nobody has confirmed them" in said
    # The first warning is in the notice as well.
    assert "cannot tell benign ducts and carcinoma in situ from invasive carcinoma" in said
    found = seen(fields)
    assert found["cells"] == 0
    assert len([one for one in found["regions"] if "HER2: Tumour probability" in one]) == n
    assert found["metadata"]["HER2 proposed regions"] == str(n)
    assert "HER2 score" not in found["metadata"]
    assert "HER2: propose tumour regions" in found["steps"]
    status = json.loads((fields.her2 / "status" / "propose" / "1.json").read_bytes())
    assert status["ok"] is True

    # Not scored as they are.
    said = fields.on_image("score_image.groovy")
    assert closing(said)["score"] == "not_assessable"
    assert "that nobody has accepted" in said

    assert decide(fields, "accept") == n
    said = fields.on_image("score_image.groovy")
    words = closing(said)
    assert words["score"] == "3+", said
    assert int(words["added"]) > 50
    assert "nobody confirmed" not in said

    # What was accepted is a person's: proposing again leaves it, and does not propose it twice.
    said = fields.on_image("propose_regions.groovy")
    assert closing(said)["state"] == "pushed", said
    regions = [one for one in seen(fields)["regions"] if "HER2: 3+ %" in one]
    assert len(regions) == n


def test_proposals_scored_without_anybody_say_so_in_the_first_line(fields: Fields) -> None:
    decide(fields, "forget")
    said = fields.on_image("score_image.groovy", "--args", "find-tumour")
    words = closing(said)
    assert words["score"] == "3+", said
    assert "3+ in tumour regions that the program proposed and nobody confirmed: " in said
    found = seen(fields)
    assert found["cells"] == int(words["added"]) > 50
    assert any("HER2: Tumour probability" in one for one in found["regions"])


def test_options_of_scoring_are_unknown_here(fields: Fields) -> None:
    said = fields.on_image("propose_regions.groovy", "--args", "site=gastric")
    assert (
        "Unknown argument 'site=gastric'. Available: her2=FOLDER, pixel-size-um=…, workers=…, force" in said
    )
