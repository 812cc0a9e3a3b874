"""The sentence under a score, written out for each kind of guideline row."""

from __future__ import annotations

import pytest

from qupath_her2.scoring.guidelines import BREAST_2018, GASTRIC_BIOPSY, GASTRIC_RESECTION
from qupath_her2.scoring.ish import IshResult
from qupath_her2.scoring.reason import explain
from qupath_her2.scoring.rules import evaluate


def reason(counts, guideline, **more):
    return explain(evaluate(counts, guideline, clusters=more.get("clusters")), counts, guideline, **more)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        # Wilson intervals by the formula of Wilson 1927: 80/200 is 33.5 to 46.9 %, 20/200 is 6.6 to 14.9 %.
        (
            {"intense lateral": 80, "none": 120},
            "3+: 40.0 % of 200 tumour cells show strong complete, basolateral or lateral staining "
            "(95 % CI 33.5 to 46.9; cut-off at least 10 %). Research use only.",
        ),
        (
            {"moderate lateral": 20, "none": 180},
            "2+: 10.0 % of 200 tumour cells show weak to moderate complete, basolateral or lateral staining "
            "(95 % CI 6.6 to 14.9; cut-off at least 10 %). ISH is needed. Research use only.",
        ),
    ],
)
def test_gastric_resection_states_its_cutoff_as_at_least(counts_of, cells, expected):
    assert reason(counts_of(cells), GASTRIC_RESECTION) == expected


def test_biopsy_states_the_cluster_and_the_size_needed(counts_of):
    counts = counts_of({"intense lateral": 6, "none": 994})
    assert reason(counts, GASTRIC_BIOPSY, clusters=(6, 6, 6)) == (
        "3+: a cluster of 6 tumour cells shows strong complete, basolateral or lateral staining "
        "(5 or more needed). Research use only."
    )
    assert reason(counts, GASTRIC_BIOPSY, clusters=(3, 5, 6)) == (
        "2+: a cluster of 5 tumour cells shows weak to moderate complete, basolateral or lateral staining "
        "or stronger (5 or more needed). ISH is needed. Research use only."
    )
    assert reason(counts, GASTRIC_BIOPSY, clusters=(2, 3, 4)) == (
        "0: no cluster of 5 or more stained tumour cells (the largest has 4). Research use only."
    )


def test_stronger_cells_of_a_cumulative_row_are_mentioned(counts_of):
    counts = counts_of({"intense complete": 15, "moderate complete": 50, "none": 135})
    assert "show weak to moderate complete staining or stronger (" in reason(counts, BREAST_2018)


@pytest.mark.parametrize(
    ("ish", "ending"),
    [
        (None, " ISH is needed."),
        (IshResult("dual probe needed"), " ISH is needed."),
        (IshResult("negative"), " ISH: negative."),
        (IshResult("positive", 1), " ISH group 1: positive."),
        (IshResult("negative", 4, recount=True), " ISH group 4: negative if a recount confirms it."),
    ],
)
def test_a_two_plus_ends_with_its_ish_result(counts_of, ish, ending):
    counts = counts_of({"moderate complete": 50, "none": 150})
    assert reason(counts, BREAST_2018, ish=ish).endswith(f"cut-off 10 %).{ending} Research use only.")
