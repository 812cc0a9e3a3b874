"""Finders as files: read as they were written, and refused with the file named where they are damaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.cells.tumour.finder import SECOND_NAMES
from qupath_her2.cells.tumour.finder_file import TumourFinder, finder_path, read_finder, write_finder
from qupath_her2.errors import SettingsError
from tests.helpers.small_finder import small_finder, stump


def written(tmp_path, **changed):
    """A finder as a file, some of its arrays changed."""
    path = write_finder(
        finder_path(tmp_path, "lab-a"),
        TumourFinder("lab-a", small_finder(), {"cases": ["K-01", "K-02"]}, {"cells": 7}),
    )
    if changed:
        with np.load(path) as stored:
            arrays = dict(stored)
        np.savez_compressed(path, **{**arrays, **changed})
    return path


def test_a_finder_is_read_as_it_was_written(tmp_path):
    path = written(tmp_path)
    assert path == tmp_path / "finders" / "lab-a.npz"
    found = read_finder(path)
    assert (found.name, found.origin["cases"], found.figures) == ("lab-a", ["K-01", "K-02"], {"cells": 7})
    assert found.digest == TumourFinder("other", small_finder()).digest
    assert found.digest != TumourFinder("lab-a", {**small_finder(), "second": stump(1)}).digest
    for name in ("root", "feature", "threshold", "left", "right", "value"):
        np.testing.assert_array_equal(
            getattr(found.trees["second"], name), getattr(small_finder()["second"], name)
        )


def test_another_file_of_the_same_name_is_noticed(tmp_path):
    path = written(tmp_path)
    first = read_finder(path).digest
    write_finder(path, replace(read_finder(path), trees={**small_finder(), "second": stump(1)}))
    assert read_finder(path).digest != first


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"about": np.frombuffer(b'{"format": 2}', np.uint8)}, "has format 2, not 1"),
        ({"about": np.frombuffer(b"torn", np.uint8)}, "is damaged"),
        ({"about": np.array(["an", "object"], object)}, "is damaged: Object arrays cannot be loaded"),
        ({"features": np.array(["brown"])}, "trained on other features than this version measures"),
        ({"second/right": np.array([700, 1, 2], np.int32)}, "a node of a tree leads out of it"),
        ({"second/left": np.array([0, 1, 2], np.int32)}, "a node of a tree leads out of it"),
        ({"second/feature": np.array([len(SECOND_NAMES), -1, -1], np.int16)}, "a feature that there is not"),
        (
            {"first/feature": np.array([len(SECOND_NAMES) - 1, -1, -1], np.int16)},
            "a feature that there is not",
        ),
        ({"second/value": np.array([0, np.nan, 1], np.float32)}, "a value is not finite"),
        ({"second/value": np.zeros(2, np.float32)}, "its arrays differ in length"),
        ({"second/root": np.array([0, 9], np.int32)}, "its trees overlap"),
        ({"second/value": np.zeros(3, np.float64)}, "second/value is float64"),
    ],
)
def test_a_damaged_finder_is_refused(tmp_path, changed, words):
    path = written(tmp_path, **changed)
    with pytest.raises(SettingsError, match=words) as caught:
        read_finder(path)
    assert str(path) in str(caught.value)
    assert "rain it again" in str(caught.value)


def test_a_torn_or_missing_file_is_refused(tmp_path):
    path = written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SettingsError, match="is damaged"):
        read_finder(path)
    path.write_bytes(b"")
    with pytest.raises(SettingsError, match="is damaged"):
        read_finder(path)
    path.unlink()
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_finder(path)


@pytest.mark.parametrize("name", ["none", "", "a/b", "../a"])
def test_names_that_are_none(name):
    with pytest.raises(SettingsError, match="is no name of a tumour finder"):
        TumourFinder(name, small_finder())
