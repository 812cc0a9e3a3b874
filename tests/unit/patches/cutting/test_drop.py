from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qupath_her2.errors import SettingsError
from qupath_her2.patches.cutting.drop import DROP_RULES, DropSettings, drop_causes, pixel_shares


def patch(counts: dict[tuple[int, int, int], int]) -> np.ndarray:
    """One 10 x 10 patch with so many pixels of each colour."""
    pixels = [colour for colour, count in counts.items() for _ in range(count)]
    assert len(pixels) == 100
    return np.array(pixels, np.uint8).reshape(1, 10, 10, 3)


def cause(counts: dict[tuple[int, int, int], int], rules: DropSettings) -> str:
    return str(drop_causes(pixel_shares(patch(counts), rules), rules)[0])


def grey(value: int) -> tuple[int, int, int]:
    return (value, value, value)


TISSUE = grey(120)


@pytest.mark.parametrize(
    ("value", "count", "dropped"),
    [(180, 59, False), (180, 60, True), (255, 60, True), (179, 100, False), (255, 59, False)],
)
def test_bright_is_from_180_and_from_60_per_cent_on(value: int, count: int, dropped: bool) -> None:
    found = cause({grey(value): count, TISSUE: 100 - count}, DROP_RULES["bright"])
    assert found == ("bright" if dropped else "")


@pytest.mark.parametrize(
    ("value", "count", "dropped"), [(221, 71, True), (221, 70, False), (220, 100, False), (255, 71, True)]
)
def test_white_is_over_70_per_cent(value: int, count: int, dropped: bool) -> None:
    found = cause({grey(value): count, TISSUE: 100 - count}, DROP_RULES["white-black"])
    assert found == ("white" if dropped else "")


@pytest.mark.parametrize(
    ("value", "count", "dropped"), [(19, 21, True), (19, 20, False), (20, 100, False), (0, 21, True)]
)
def test_black_is_over_20_per_cent(value: int, count: int, dropped: bool) -> None:
    found = cause({grey(value): count, TISSUE: 100 - count}, DROP_RULES["white-black"])
    assert found == ("black" if dropped else "")


@pytest.mark.parametrize("channel", range(3))
def test_white_and_black_need_all_three_channels(channel: int) -> None:
    almost_white, almost_black = [255] * 3, [0] * 3
    almost_white[channel], almost_black[channel] = 220, 20
    for colour in (tuple(almost_white), tuple(almost_black)):
        assert cause({colour: 100}, DROP_RULES["white-black"]) == ""


def test_none_drops_nothing_and_reads_nothing() -> None:
    assert not DROP_RULES["none"].needs_pixels
    assert DROP_RULES["bright"].needs_pixels
    assert DROP_RULES["white-black"].needs_pixels
    for colour in (grey(255), grey(0)):
        assert cause({colour: 100}, DROP_RULES["none"]) == ""


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 4))
def test_counts_are_those_of_numpy_and_pillow(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    patches = rng.choice(np.array([0, 19, 20, 120, 179, 180, 181, 220, 221, 255], np.uint8), (n, 12, 9, 3))
    got = pixel_shares(patches, DropSettings(bright_share=0.6))
    assert got.white == pytest.approx((patches > 220).all(3).mean((1, 2)))
    assert got.black == pytest.approx((patches < 20).all(3).mean((1, 2)))
    for i in range(n):
        luma = np.asarray(Image.fromarray(patches[i]).convert("L"))
        # Two roundings of the same luma: a pixel just at the limit may fall on either side.
        at_limit = (np.abs(luma.astype(int) - 180) <= 1).mean()
        assert abs(got.bright[i] - (luma >= 180).mean()) <= at_limit + 1e-12


@pytest.mark.parametrize(
    "bad",
    [{"white_share": 1.1}, {"bright_share": -0.1}, {"black_share": float("nan")}, {"white_above": 256}],
)
def test_invalid_shares_and_grey_values_are_refused(bad: dict) -> None:
    with pytest.raises(SettingsError):
        DropSettings(**bad)
