from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import PatchError
from qupath_her2.patches.manifest import (
    check_manifest,
    select,
    without_images,
    write_manifest,
)
from tests.unit.patches.conftest import random_manifest


def test_select_takes_rows_and_keeps_images() -> None:
    made = random_manifest(5, 20)
    part = select(made, made.label == 2)
    assert len(part) == int((made.label == 2).sum()) > 0
    assert set(part.label.tolist()) == {2}
    assert part.images == made.images
    back = select(made, np.arange(20)[::-1])
    assert np.array_equal(back.box_xywh, made.box_xywh[::-1])


def test_label_counts() -> None:
    made = dataclasses.replace(random_manifest(0, 4), label=np.array([0, 2, -1, 2], np.int16))
    assert made.label_counts() == {"0": 1, "low": 0, "high": 2}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("image", np.full(4, 3, np.int32)),
        ("image", np.full(4, -1, np.int32)),
        ("label", np.full(4, 3, np.int16)),
        ("label", np.full(4, -2, np.int16)),
        ("split", np.full(4, 3, np.int8)),
        ("overlap", np.full(4, 1.01, np.float32)),
        ("overlap", np.full(4, np.nan, np.float32)),
        ("box_xywh", np.zeros((4, 4), np.int32)),
        ("box_xywh", np.ones((4, 3), np.int32)),
        ("label", np.zeros(4, np.int64)),
        ("region_uuid", np.zeros((3, 16), np.uint8)),
    ],
)
def test_an_invalid_column_is_named(column: str, value: np.ndarray, tmp_path: Path) -> None:
    bad = dataclasses.replace(random_manifest(0, 4), **{column: value})
    with pytest.raises(PatchError, match=column):
        check_manifest(bad)
    with pytest.raises(PatchError, match=column):
        write_manifest(tmp_path, bad)
    assert list(tmp_path.iterdir()) == []


def test_images_are_removed_with_their_patches() -> None:
    made = random_manifest(7, 60)
    part = without_images(made, {0}, "image: gone")
    assert part.images == made.images[1:]
    stay = made.image != 0
    assert np.array_equal(part.image, made.image[stay] - 1)
    assert np.array_equal(part.box_xywh, made.box_xywh[stay])
    assert part.dropped == {"white": 3, "image: gone": int((~stay).sum())}
    check_manifest(part)
    assert without_images(made, set(), "image: gone").dropped == made.dropped
