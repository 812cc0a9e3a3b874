from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.quality.empty_outlines import empty_outlines_warning


@pytest.mark.parametrize(
    ("n_empty", "n", "is_said"),
    [
        (614, 851, True),
        (37, 185, False),
        (400, 1000, False),
        (401, 1000, True),
        (49, 49, False),
        (0, 0, False),
    ],
)
def test_most_outlines_without_a_nucleus_are_said(n_empty: int, n: int, is_said: bool) -> None:
    said = empty_outlines_warning(np.arange(n) >= n_empty)
    assert (said is not None) == is_said


def test_the_sentence_has_number_share_and_way_out() -> None:
    said = empty_outlines_warning(np.arange(2000) >= 1500)
    assert said is not None
    assert said.startswith("1,500 of 2,000 existing cells (75%) hold no nucleus that is found here.")
    assert "have the cells found and scored anew" in said
