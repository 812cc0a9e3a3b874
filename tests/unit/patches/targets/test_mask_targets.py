from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.targets.mask_targets import MaskSettings, mask_path, mask_target, read_mask
from qupath_her2.patches.targets.targets import BACKGROUND, IGNORE, MEMBRANE, NUCLEUS, TargetFrame

PAPER = MaskSettings(background=("#000000",), membrane=("#FF0000",), nucleus=("#00ff00",), ignore=(255,))
CODES = np.array([[BACKGROUND, MEMBRANE, NUCLEUS], [IGNORE, NUCLEUS, BACKGROUND]], np.uint8)
COLOURS = {BACKGROUND: (0, 0, 0), MEMBRANE: (255, 0, 0), NUCLEUS: (0, 255, 0), IGNORE: (255, 255, 255)}


def save(path: Path, pixels: np.ndarray) -> Path:
    """Write RGB or grey pixels, under names that OpenCV itself could not open everywhere."""
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes())
    return path


def test_grey_values_and_the_papers_colours(tmp_path: Path) -> None:
    grey = save(tmp_path / "fällig_mask.png", CODES)
    assert np.array_equal(read_mask(grey, size=(3, 2)), CODES)
    rgb = np.array([[COLOURS[code] for code in row] for row in CODES.tolist()], np.uint8)
    assert np.array_equal(read_mask(save(tmp_path / "rgb.png", rgb), PAPER), CODES)
    # A grey mask that a program saved as RGB is the same mask.
    tripled = np.repeat(CODES[..., None], 3, axis=2)
    assert np.array_equal(read_mask(save(tmp_path / "tripled.png", tripled)), CODES)


def test_several_values_may_mean_the_same(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.array([[0, 7, 9, 4]], np.uint8))
    rule = MaskSettings(membrane=(7, 9), nucleus=(4,), ignore=())
    assert read_mask(path, rule).tolist() == [[BACKGROUND, MEMBRANE, MEMBRANE, NUCLEUS]]


def test_invalid_masks_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.array([[0, 1, 77], [77, 2, 0]], np.uint8))
    with pytest.raises(PatchError, match=r"#4d4d4d at pixel \(2, 0\), and 2 pixels"):
        read_mask(path)
    with pytest.raises(PatchError, match="3 x 2 px but its image is 3 x 3 px"):
        read_mask(path, size=(3, 3))
    with pytest.raises(PatchError, match="16 bits"):
        read_mask(save(tmp_path / "deep.png", np.zeros((2, 2), np.uint16)))
    for name, content in (("empty.png", b""), ("text.png", b"not a picture")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PatchError, match="is not an image"):
            read_mask(tmp_path / name)
    with pytest.raises(PatchError, match="Put it next to its image"):
        read_mask(tmp_path / "missing.png")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"membrane": (0,)}, "listed twice or for two classes"),
        ({"membrane": ("#000000",)}, "listed twice or for two classes"),
        ({"nucleus": (256,)}, "256"),
        ({"nucleus": ("red",)}, "'red'"),
        ({"suffix": "_mask.jpg"}, "JPEG"),
    ],
)
def test_invalid_settings_are_refused(values: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        MaskSettings(**values)


def test_the_path_of_a_mask() -> None:
    assert mask_path(Path("a/case.07.tif")) == Path("a/case.07_mask.png")
    assert mask_path(Path("a/x.svs"), MaskSettings(suffix="-labels.PNG")) == Path("a/x-labels.PNG")


@settings(max_examples=60, deadline=None)
@given(
    mask=arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2)
    ),
    x=st.integers(-5, 12),
    y=st.integers(-5, 12),
    times=st.sampled_from([1, 2, 3]),
)
def test_each_pixel_takes_the_value_under_its_centre(mask: np.ndarray, x: int, y: int, times: int) -> None:
    """A picture `times` finer than level 0: each level-0 pixel is a block of its pixels."""
    found = mask_target(mask, TargetFrame(x, y, 7 * times, 5 * times, 0.25 / times, 1 / times))
    for row in range(5 * times):
        for column in range(7 * times):
            at = y + row // times, x + column // times
            is_inside = 0 <= at[0] < mask.shape[0] and 0 <= at[1] < mask.shape[1]
            assert found[row, column] == (mask[at] if is_inside else IGNORE)


def test_coarser_windows_keep_the_values_under_their_centres() -> None:
    mask = np.arange(36, dtype=np.uint8).reshape(6, 6) % 3
    assert np.array_equal(mask_target(mask, TargetFrame(0, 0, 2, 2, 0.75, 3.0)), mask[1::3, 1::3])
