"""The page of a case: her score beside the machine's, the signatures, and what changed since."""

from __future__ import annotations

import pytest

from qupath_her2.project.exchange.runs import current_run
from qupath_her2.review.case_page import write_case_page
from qupath_her2.review.collect import collect
from qupath_her2.review.sign_off import read_trail, sign, signed_path
from tests.helpers.reviewed_project import reviewed_image


@pytest.fixture
def image(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    image.correct({3: "Tumor: 2+", 4: "Tumor: 2+"}, (9,))
    image.type_score(HER2_reader_score="1+", HER2_reader_comment="<b>edge</b>")
    collect(image.her2, image.refs, "Anna")
    return image


def page(image):
    return write_case_page(image.her2, "K-01", image.refs, version="1.0").read_text(encoding="utf-8")


def test_both_scores_stand_beside_each_other(image):
    assert "not signed" in page(image)
    sign(image.her2, "K-01", image.refs, "reviewed", "Anna", version="1.0", note="with Bo")
    text = page(image)
    assert "Pathologist<b>1+</b>" in text
    assert "Machine, case.svs<b>2+</b>" in text
    assert "1 cell deleted, 2 cells reclassified" in text
    assert "&lt;b&gt;edge&lt;/b&gt;" in text
    assert "with Bo" in text
    assert "Research use only" in text
    # The machine's sentence says its score once.
    assert "<td>Because.</td>" in text
    assert read_trail(signed_path(image.her2, "K-01")).digest in text
    assert "scored again" not in text


def test_a_later_run_and_a_changed_trail_are_said(image):
    sign(image.her2, "K-01", image.refs, "reviewed", "Anna", version="1.0")
    path = signed_path(image.her2, "K-01")
    run = current_run(image.her2, "1_case").name
    path.write_bytes(path.read_bytes().replace(run.encode(), b"another-run"))
    assert "scored again after the last signature" in page(image)
    path.write_bytes(path.read_bytes().replace(b'"previous":""', b'"previous":"ab"'))
    assert "does not follow the line above" in page(image)
