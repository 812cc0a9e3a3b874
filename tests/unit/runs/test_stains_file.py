from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.runs.stains_file import (
    STAINS_FILE,
    KeptGroup,
    StainsFile,
    read_stains_file,
    write_stains_file,
)
from qupath_her2.slides.stains.estimate import StainDirections

GROUP = KeptGroup((0.68, 0.65, 0.34), (0.1 + 0.2, 0.57, 0.74), "estimated from 1 image", {"a": "f1"})
CONTENT = StainsFile(
    "recipe",
    {"png, 0.25 µm, HER2": [GROUP]},
    {"a": ("f1", StainDirections((0.6, 0.7, 1 / 3), None, 0.01, 7000))},
)


def test_a_file_reads_as_it_was_written_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / STAINS_FILE
    write_stains_file(path, CONTENT)
    assert read_stains_file(path, "recipe") == CONTENT
    first = path.read_bytes()
    write_stains_file(path, read_stains_file(path, "recipe"))
    assert path.read_bytes() == first


@pytest.mark.parametrize("content", [None, b'{"format": 1, "groups": {"png": {}}}'])
def test_a_missing_file_and_one_of_the_first_format_are_empty(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / STAINS_FILE
    if content is not None:
        path.write_bytes(content)
    assert read_stains_file(path, "recipe") == StainsFile("recipe")


def test_other_settings_of_the_estimate_make_it_void(tmp_path: Path) -> None:
    path = tmp_path / STAINS_FILE
    write_stains_file(path, CONTENT)
    assert read_stains_file(path, "another recipe") == StainsFile("another recipe")


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'{"format": 9}',
        b'{"format": 2}',
        b'{"format": 2, "recipe": "recipe", "groups": {"a": 5}}',
    ],
)
def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / STAINS_FILE
    path.write_bytes(content)
    with pytest.raises(ExchangeError, match=r"stains\.json.*Delete it"):
        read_stains_file(path, "recipe")


@pytest.mark.parametrize("value", [[0, 0, 0], ["x", 0, 1], [1, 2], None, 5])
def test_vectors_that_are_none_are_damage(tmp_path: Path, value: object) -> None:
    path = tmp_path / STAINS_FILE
    write_stains_file(path, CONTENT)
    raw = orjson.loads(path.read_bytes())
    raw["groups"]["png, 0.25 µm, HER2"][0]["dab"] = value
    path.write_bytes(orjson.dumps(raw))
    with pytest.raises(ExchangeError, match="damaged"):
        read_stains_file(path, "recipe")
