from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.records import CaseInfo, SlideScore
from qupath_her2.scoring.guidelines import guideline_for
from qupath_her2.scoring.stain_stability import Restained, with_stain_stability

BREAST = guideline_for(CaseInfo(), "auto")
SCORE = SlideScore("scored", "0", "0: no staining.", BREAST.name, tags=("HER2-null",))


def counts(none: int, faint_complete: int = 0, strong_complete: int = 0) -> tuple[tuple[int, ...], ...]:
    """Return (4, 4) counts: cells without staining, and with faint and strong complete membranes."""
    table = np.zeros((4, 4), np.int64)
    table[0, 0] = none
    table[1, -1], table[3, -1] = faint_complete, strong_complete
    return tuple(tuple(row) for row in table.tolist())


IMAGE = np.array(counts(1000))


def test_a_score_that_holds_gets_a_tag_that_names_the_alternatives() -> None:
    same = Restained("the image's own", 5.6, counts(100), counts(99, 1))
    found = with_stain_stability(SCORE, IMAGE, BREAST, [same], noise_floor=0.005)
    assert found.tags == ("HER2-null", "stable against stain vectors: the image's own (6° away)")
    assert found.warnings == ()


def test_a_score_that_does_not_hold_gets_a_warning() -> None:
    same = Restained("the image's own", 4.0, counts(100), counts(100))
    other = Restained("QuPath's defaults", 9.0, counts(100), counts(70, 0, 30))
    found = with_stain_stability(SCORE, IMAGE, BREAST, [same, other], noise_floor=0.005)
    assert found.tags == SCORE.tags
    assert found.warnings == (
        "The score 0 depends on the stain vectors: 0 with the image's own (4° away), "
        "3+ with QuPath's defaults (9° away).",
    )


def test_the_change_is_added_to_the_shares_of_the_whole_image() -> None:
    # 5 % of the part were strong before and 7 % are now; the image's 9.5 % become 11.5 %, over the cut-off of 10 %.
    image = np.array(counts(905, 0, 95))
    score = SlideScore("scored", "2+", "", BREAST.name)
    other = Restained("others", 3.0, counts(95, 0, 5), counts(93, 0, 7))
    (warning,) = with_stain_stability(score, image, BREAST, [other], noise_floor=0.005).warnings
    assert "3+ with others (3° away)" in warning


@pytest.mark.parametrize(
    "score",
    [SlideScore("not assessable", None, "", BREAST.name), SCORE],
)
def test_nothing_is_said_without_a_score_or_without_cells_to_compare(score: SlideScore) -> None:
    nothing = [
        Restained("others", 3.0, counts(0), counts(70, 0, 30)),
        Restained("x", 3.0, counts(9), counts(0)),
    ]
    assert with_stain_stability(score, IMAGE, BREAST, nothing, noise_floor=0.005) == score


def test_rules_on_clusters_are_not_checked() -> None:
    biopsy = guideline_for(CaseInfo(site="gastric", specimen="biopsy"), "auto")
    assert biopsy.by_cluster
    other = Restained("others", 3.0, counts(100), counts(70, 0, 30))
    assert with_stain_stability(SCORE, IMAGE, biopsy, [other], noise_floor=0.005) == SCORE
