"""ISH groups at their thresholds, and the guideline's table of group by IHC score."""

from __future__ import annotations

import math

import pytest

from qupath_her2.errors import ScoringError
from qupath_her2.records import CaseInfo
from qupath_her2.scoring.ish import dual_probe, ish_for, ish_group, single_probe


@pytest.mark.parametrize(
    ("ratio", "copies", "group"),
    [
        (2.0, 4.0, 1),
        (2.0, 3.999, 2),
        (1.999, 6.0, 3),
        (1.999, 5.999, 4),
        (1.999, 4.0, 4),
        (1.999, 3.999, 5),
        (9.0, 30.0, 1),
        (0.0, 0.0, 5),
    ],
)
def test_groups_at_their_thresholds(ratio, copies, group):
    assert ish_group(ratio, copies) == group


VALUES = {1: (2.5, 5.0), 2: (2.5, 3.0), 3: (1.5, 7.0), 4: (1.5, 5.0), 5: (1.5, 3.0)}
POSITIVE, NEGATIVE = "positive", "negative"


@pytest.mark.parametrize(
    ("group", "ihc", "status", "recount", "has_comment"),
    [
        (1, "0", POSITIVE, False, False),
        (1, "1+", POSITIVE, False, False),
        (1, "2+", POSITIVE, False, False),
        (1, "3+", POSITIVE, False, False),
        (2, "0", NEGATIVE, False, True),
        (2, "1+", NEGATIVE, False, True),
        (2, "2+", NEGATIVE, True, True),
        (2, "3+", POSITIVE, False, False),
        (3, "0", NEGATIVE, False, True),
        (3, "1+", NEGATIVE, False, True),
        (3, "2+", POSITIVE, True, True),
        (3, "3+", POSITIVE, False, False),
        (4, "0", NEGATIVE, False, True),
        (4, "1+", NEGATIVE, False, True),
        (4, "2+", NEGATIVE, True, True),
        (4, "3+", POSITIVE, False, False),
        (5, "0", NEGATIVE, False, False),
        (5, "1+", NEGATIVE, False, False),
        (5, "2+", NEGATIVE, False, False),
        (5, "3+", NEGATIVE, False, True),
    ],
)
def test_every_cell_of_the_table(group, ihc, status, recount, has_comment):
    result = dual_probe(*VALUES[group], ihc)
    assert (result.group, result.status, result.recount) == (group, status, recount)
    assert bool(result.comment) is has_comment
    assert ("must recount at least 20 cells" in result.comment) is recount
    assert ("discordant" in result.comment) is (group == 5 and ihc == "3+")


@pytest.mark.parametrize("group", [2, 3, 4])
def test_groups_two_to_four_need_ihc(group):
    result = dual_probe(*VALUES[group], None)
    assert result.status == "IHC needed"
    assert result.amplified is None


def test_groups_one_and_five_do_not_need_ihc():
    assert dual_probe(*VALUES[1], None).amplified is True
    assert dual_probe(*VALUES[5], None).amplified is False


@pytest.mark.parametrize(
    ("copies", "status"),
    [(6.0, POSITIVE), (5.999, "dual probe needed"), (4.0, "dual probe needed"), (3.999, NEGATIVE)],
)
def test_single_probe_at_its_thresholds(copies, status):
    assert single_probe(copies).status == status
    assert single_probe(copies).group is None


def test_the_values_of_a_case_tell_which_probe_was_used():
    assert ish_for(CaseInfo(), "2+") is None
    assert ish_for(CaseInfo(her2_copies=7.0), "2+").status == POSITIVE
    assert ish_for(CaseInfo(her2_cep17_ratio=2.5, her2_copies=5.0), "2+").group == 1
    alone = ish_for(CaseInfo(her2_cep17_ratio=2.5), "2+")
    assert (alone.status, alone.amplified) == ("copies needed", None)


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_impossible_values_are_reported(bad):
    with pytest.raises(ScoringError, match="HER2/CEP17 ratio is"):
        ish_group(bad, 3.0)
    with pytest.raises(ScoringError, match="HER2 copies per cell is"):
        ish_group(2.0, bad)
    with pytest.raises(ScoringError, match="ratio is"):
        ish_for(CaseInfo(her2_cep17_ratio=bad), "2+")


def test_unknown_ihc_score():
    with pytest.raises(ScoringError, match=r"Unknown IHC score '4\+'; expected one of 0, 1\+"):
        dual_probe(2.0, 4.0, "4+")
