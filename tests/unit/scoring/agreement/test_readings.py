"""HER2 scores as groups of treatment."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.scoring.agreement.readings import Scale, group_scale

SCORES = ("0", "1+", "2+", "3+")


def scale(*codes: int, classes: tuple[str, ...] = SCORES) -> Scale:
    return Scale("scores", classes, np.array(codes, np.int64).reshape(1, len(codes), 1))


def names(groups: Scale) -> list[str | None]:
    return [None if code < 0 else groups.classes[code] for code in groups.codes.ravel().tolist()]


def test_2_plus_is_low_or_positive_by_ish():
    groups = group_scale(scale(0, 1, 2, 2, 3, -1), [None, None, True, False, False, True])
    assert groups is not None
    assert names(groups) == ["null", "low", "positive", "low", "positive", None]
    assert groups.classes == ("null", "low", "positive")


def test_2_plus_without_ish_is_a_group_between_them():
    groups = group_scale(scale(2, 3), [None, None])
    assert groups is not None
    assert groups.classes == ("null", "low", "2+ without ISH", "positive")
    assert names(groups) == ["2+ without ISH", "positive"]


def test_ultralow_is_kept_apart_where_it_is_a_class():
    classes = ("null", "ultralow", "1+", "2+", "3+")
    groups = group_scale(scale(0, 1, 2, classes=classes), [None] * 3)
    assert groups is not None
    assert groups.classes == ("null", "ultralow", "low", "positive")
    assert names(groups) == ["null", "ultralow", "low"]


@pytest.mark.parametrize("classes", [("<1", "≥1"), ("0", "1+", "4+")])
def test_other_classes_have_no_groups(classes):
    assert group_scale(scale(0, 1, classes=classes), [None, None]) is None
