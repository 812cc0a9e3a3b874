from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import SettingsError
from qupath_her2.patches.cutting.crop_windows import crop_windows


def literal(width: int, height: int, window: int, crop: int) -> list[tuple[int, int, int, int]]:
    """The paper's words as loops."""
    boxes = []
    for top in range(0, height - crop + 1, crop):
        for left in range(0, width - crop + 1, crop):
            for y in range(0, crop - window + 1, window):
                boxes += [(left + x, top + y, window, window) for x in range(0, crop - window + 1, window)]
    return boxes


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(8, 40), st.integers(0, 60))
def test_windows_are_those_of_the_loops(width: int, height: int, window: int, more: int) -> None:
    crop = window + more
    found = crop_windows(width, height, window=window, crop=crop)
    assert found.dtype == np.int32
    assert list(map(tuple, found.tolist())) == literal(width, height, window, crop)


def test_the_windows_of_the_paper() -> None:
    found = crop_windows(2 * 2048 + 2047, 2048)
    assert len(found) == 2 * 8 * 8
    assert found[:, 0].max() + 251 == 2048 + 2008
    assert len(crop_windows(2047, 5000)) == 0
    assert len(crop_windows(600, 300, crop=0)) == 2


@pytest.mark.parametrize(("window", "crop"), [(7, 100), (101, 100), (20, -1)])
def test_invalid_windows_are_refused(window: int, crop: int) -> None:
    with pytest.raises(SettingsError, match=f"Windows of {window} px"):
        crop_windows(100, 100, window=window, crop=crop)
