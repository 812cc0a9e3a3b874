from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.quality.empty_outlines import empty_outlines, uncounted_sentence


@pytest.mark.parametrize(
    ("n_empty", "n", "is_too_many"),
    [
        (614, 851, True),
        (37, 185, False),
        (400, 1000, False),
        (401, 1000, True),
        (49, 49, False),
        (0, 0, False),
    ],
)
def test_cells_without_a_nucleus_do_not_count_where_they_are_too_many(
    n_empty: int, n: int, is_too_many: bool
) -> None:
    found = empty_outlines(np.arange(n) >= n_empty)
    assert (found is not None) == is_too_many
    if found is not None:
        assert (found.n_empty, found.n_cells) == (n_empty, n)


def test_the_warning_has_number_share_and_way_out() -> None:
    found = empty_outlines(np.arange(2000) >= 1500)
    assert found is not None
    assert found.warning.startswith("1,500 of 2,000 existing cells (75%) hold no nucleus that is found here")
    assert "they have no class and are not counted" in found.warning
    assert "have the cells found and scored anew" in found.warning


def test_the_sentence_of_the_score_has_the_number() -> None:
    assert uncounted_sentence(0) == ""
    assert uncounted_sentence(1) == "1 existing cell without a nucleus is not counted."
    assert uncounted_sentence(1500) == "1,500 existing cells without a nucleus are not counted."
