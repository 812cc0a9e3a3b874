"""Therapy tags, three-way and binary status."""

from __future__ import annotations

import pytest

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.ish import IshResult
from qupath_her2.scoring.tags import ISH_NEEDED, binary_status, therapy_tags, three_way_status

AMPLIFIED, NOT_AMPLIFIED = IshResult("positive", 1), IshResult("negative", 5)
UNDECIDED = IshResult("dual probe needed")


def first(score, stained=0, false_calls=0, ish=None):
    return therapy_tags(score, stained=stained, false_calls=false_calls, noise_floor=0.005, ish=ish)[0]


@pytest.mark.parametrize(
    ("score", "ish", "tag"),
    [
        ("1+", None, "HER2-low"),
        ("1+", NOT_AMPLIFIED, "HER2-low"),
        ("1+", AMPLIFIED, "HER2-positive"),
        ("0", AMPLIFIED, "HER2-positive"),
        ("2+", None, ISH_NEEDED),
        ("2+", UNDECIDED, ISH_NEEDED),
        ("2+", NOT_AMPLIFIED, "HER2-low"),
        ("2+", AMPLIFIED, "HER2-positive"),
        ("3+", None, "HER2-positive"),
    ],
)
def test_tag_by_score_and_ish(score, ish, tag):
    assert first(score, stained=500, ish=ish) == tag


def test_null_and_ultralow_meet_at_the_noise_floor():
    assert first("0", stained=10, false_calls=10) == "HER2-null at a noise floor of 0.5 %"
    assert first("0", stained=11, false_calls=10) == "HER2-ultralow"
    assert first("0", stained=1, false_calls=0) == "HER2-ultralow"


def test_the_ish_result_follows_the_category():
    tags = therapy_tags("2+", stained=9, false_calls=0, noise_floor=0.0, ish=NOT_AMPLIFIED)
    assert tags == ("HER2-low", "ISH group 5: negative")


@pytest.mark.parametrize(
    ("score", "ish", "three_way", "binary"),
    [
        ("0", None, "0", "negative"),
        ("1+", None, "low", "negative"),
        ("2+", NOT_AMPLIFIED, "low", "negative"),
        ("2+", AMPLIFIED, "high", "positive"),
        ("2+", None, ISH_NEEDED, ISH_NEEDED),
        ("2+", UNDECIDED, ISH_NEEDED, ISH_NEEDED),
        ("3+", None, "high", "positive"),
    ],
)
def test_three_way_and_binary(score, ish, three_way, binary):
    assert three_way_status(score, ish) == three_way
    assert binary_status(score, ish) == binary


def test_unknown_scores_are_refused():
    with pytest.raises(ScoringError, match="'4' is not a HER2 score; expected one of"):
        binary_status("4")
    with pytest.raises(ScoringError):
        therapy_tags("low", stained=0, false_calls=0, noise_floor=0.0)
