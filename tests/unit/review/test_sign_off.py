"""The trail of a case: states in order, a score of the person's own, and no line changed unseen."""

from __future__ import annotations

import orjson
import pytest

from qupath_her2.errors import ReviewError
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.review.collect import collect
from qupath_her2.review.sign_off import read_trail, sign, signed_path
from tests.helpers.reviewed_project import reviewed_image


@pytest.fixture
def image(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    image.correct({3: "Tumor: 2+"})
    collect(image.her2, image.refs, "Anna")
    return image


def signed(image, state, **more):
    return sign(image.her2, "K-01", image.refs, state, "Anna", version="1.0", **more)


def trail(image):
    return read_trail(signed_path(image.her2, "K-01"))


def test_a_case_goes_from_draft_to_amended(image):
    signed(image, "draft")
    signed(image, "reviewed")
    with pytest.raises(ReviewError, match="has no score of yours"):
        signed(image, "final")
    image.type_score(HER2_reader_score="1+", HER2_reader_comment="edge")
    final = signed(image, "final")
    assert final.score == "1+"
    seen = final.images["1_case"]
    assert (seen["machine"], seen["typed"], seen["comment"], seen["name"]) == ("2+", "1+", "edge", "case.svs")
    assert len(seen["record"]) == 64
    assert list(final.rounds) == ["001-anna"]
    with pytest.raises(ReviewError, match="is final, and cannot become draft; next may be amended"):
        signed(image, "draft")
    with pytest.raises(ReviewError, match="needs its reason"):
        signed(image, "amended", score="2+")
    signed(image, "amended", score="2+", note="recount")
    found = trail(image)
    assert [one.state for one in found.steps] == ["draft", "reviewed", "final", "amended"]
    assert found.problems == ()


def test_the_machines_score_is_never_taken(image):
    signed(image, "reviewed")
    assert trail(image).steps[0].score == ""
    with pytest.raises(ReviewError, match="never fills it in"):
        signed(image, "final")
    with pytest.raises(ReviewError, match="no HER2 score"):
        signed(image, "final", score="4+")


@pytest.mark.parametrize("harm", ["change", "remove", "insert", "swap"])
def test_a_line_that_was_changed_is_found(image, harm):
    for _ in range(4):
        signed(image, "draft")
    path = signed_path(image.her2, "K-01")
    lines = path.read_bytes().splitlines(keepends=True)
    if harm == "change":
        lines[1] = lines[1].replace(b'"by":"Anna"', b'"by":"Bo"')
    elif harm == "remove":
        del lines[1]
    elif harm == "insert":
        lines.insert(2, lines[1])
    else:
        lines[1], lines[2] = lines[2], lines[1]
    path.write_bytes(b"".join(lines))
    assert "does not follow the line above" in trail(image).problems[0]
    with pytest.raises(ReviewError, match="was changed"):
        signed(image, "reviewed")


def test_half_a_line_of_a_killed_process_is_no_step(image):
    signed(image, "draft")
    path = signed_path(image.her2, "K-01")
    path.write_bytes(path.read_bytes() + b'{"by": "An')
    signed(image, "reviewed")
    found = trail(image)
    assert [one.step for one in found.steps] == [1, 2]
    assert ["it is no step" in one for one in found.problems] == [True]


def test_two_people_cannot_sign_at_once(image):
    with lock_image(image.her2, "1_case"), pytest.raises(Exception, match="1_case"):
        signed(image, "draft")
    assert trail(image).steps == ()


def test_cases_of_the_same_plain_letters_have_their_own_files(image):
    assert signed_path(image.her2, "K 1") != signed_path(image.her2, "K-1")
    assert orjson.loads(signed(image, "draft").line)["format"] == 1
