"""Choice of guideline, and properties that every guideline table must have."""

from __future__ import annotations

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.records import CaseInfo
from qupath_her2.scoring.guidelines import (
    BREAST_2018,
    GASTRIC_BIOPSY,
    GASTRIC_RESECTION,
    GUIDELINES,
    guideline_for,
)
from qupath_her2.scoring.rules import SCORES

EVERY = pytest.mark.parametrize("guideline", GUIDELINES.values(), ids=GUIDELINES)


def test_auto_follows_the_specimen():
    assert guideline_for(CaseInfo()) is BREAST_2018
    assert guideline_for(CaseInfo(), "auto").name == "ASCO/CAP breast 2018/2023"
    assert guideline_for(CaseInfo(site="gastric")) is GASTRIC_RESECTION
    assert guideline_for(CaseInfo(site="gastric", specimen="biopsy")) is GASTRIC_BIOPSY


@EVERY
def test_a_guideline_is_found_by_key_and_by_name(guideline):
    assert guideline_for(CaseInfo(), guideline.key.upper()) is guideline
    assert guideline_for(CaseInfo(), guideline.name.lower()) is guideline


def test_unknown_guideline_suggests_the_nearest():
    with pytest.raises(SettingsError, match=r"'brest-2018' is unknown\. Did you mean 'breast-2018'\?"):
        guideline_for(CaseInfo(), "brest-2018")
    with pytest.raises(SettingsError, match="Available: auto, breast-2018"):
        guideline_for(CaseInfo(), "")


@EVERY
def test_sets_are_closed_upwards(guideline):
    for row in guideline.rows:
        for intensity, pattern in row.cells:
            assert all((i, p) in row.cells for i in range(intensity, 4) for p in range(pattern, 4))


@EVERY
def test_rows_are_ordered_strongest_first_and_cite_a_source(guideline):
    grades = [SCORES.index(row.score) for row in guideline.rows]
    assert grades == sorted(grades, reverse=True)
    assert "doi 10." in guideline.source
