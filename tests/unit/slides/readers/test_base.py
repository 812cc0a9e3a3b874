"""Pixel sizes and downsample factors as readers take them; reads are in tests/contracts/test_readers.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.errors import SettingsError
from qupath_her2.slides.readers.base import checked_pixel_size, read_error, whole_downsample


@given(st.integers(5000, 100_000), st.integers(5000, 100_000), st.sampled_from([2, 4, 8, 16, 32]))
def test_rounded_level_sizes_give_whole_downsamples(width, height, step):
    down = (width // step, height // step)
    up = (-(-width // step), -(-height // step))
    assert whole_downsample((width, height), up) == whole_downsample((width, height), down) == step


def test_whole_downsample_of_a_real_slide():
    assert whole_downsample((46_000, 32_914), (11_500, 8_228)) == 4.0
    assert whole_downsample((1000, 1000), (400, 400)) == 2.5


@pytest.mark.parametrize("size", [0.009, 0, -0.25, 101, float("nan")])
def test_implausible_pixel_sizes_of_the_user_are_refused(size):
    with pytest.raises(SettingsError, match=r"--pixel-size-um .* between 0\.01 and 100 µm"):
        checked_pixel_size(size)
    assert checked_pixel_size(None) is None
    assert checked_pixel_size(0.25) == 0.25


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such tag."), "no such tag"),
        (EOFError("it is truncated"), "it is truncated"),
        (TypeError("unhashable type: 'list'"), "contradict each other (TypeError: unhashable type: 'list')"),
        (ZeroDivisionError(), "contradict each other (ZeroDivisionError)"),
        (ValueError(), "contradict each other (ValueError)"),
        (MemoryError(), "more memory than there is"),
        ("it is empty", "it is empty"),
    ],
)
def test_reasons_make_sense_to_someone_who_only_has_the_file(error, text):
    message = str(read_error(Path("folder/a.svs"), error, "Copy it again."))
    assert message.startswith("Image 'a.svs' cannot be read: ")
    assert message.endswith(f"{text} ({Path('folder/a.svs')}). Copy it again.")
