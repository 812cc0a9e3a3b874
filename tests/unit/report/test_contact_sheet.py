"""Contact sheets: every patch stands in its place, and captions are drawn below it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from qupath_her2.errors import OutputError
from qupath_her2.report.contact_sheet import contact_sheet, paired_sheet

COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (40, 200, 200)]
PATCHES = np.stack([np.full((30, 30, 3), colour, np.uint8) for colour in COLOURS])


def decoded(data: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_patches_stand_in_rows_with_captions_below() -> None:
    sheet = decoded(contact_sheet(PATCHES, ["a", "b", "", "é", "e"], columns=3, side_px=60))
    assert sheet.shape == (2 * (60 + 18 + 6) + 6, 3 * (60 + 6) + 6, 3)
    for number, colour in enumerate(COLOURS):
        top, left = 6 + number // 3 * 84, 6 + number % 3 * 66
        middle = sheet[top + 5 : top + 55, left + 5 : left + 55].astype(int)
        # The mean, since JPEG lets colours ring at the edges.
        assert np.abs(middle.mean(axis=(0, 1)) - colour).max() <= 3
        caption = sheet[top + 62 : top + 78, left : left + 30]
        assert (caption.min() < 100) == (number != 2), "only the empty caption leaves no ink"


def test_pairs_stand_side_by_side_three_to_a_row() -> None:
    pairs = [(PATCHES[0], PATCHES[1]), (PATCHES[2], PATCHES[3])]
    sheet = decoded(paired_sheet(pairs, ["one", "two"], side_px=40))
    assert sheet.shape[1] == 4 * 46 + 6
    for place, colour in enumerate(COLOURS[:4]):
        middle = sheet[16:36, 6 + place * 46 + 10 : 6 + place * 46 + 30]
        assert np.abs(middle.mean(axis=(0, 1)) - colour).max() <= 3


@pytest.mark.parametrize(("n", "captions"), [(0, []), (2, ["one"])])
def test_no_patch_or_another_number_of_captions_is_refused(n: int, captions: list[str]) -> None:
    with pytest.raises(OutputError, match=f"got {n} patches and {len(captions)} captions"):
        contact_sheet(PATCHES[:n], captions)
