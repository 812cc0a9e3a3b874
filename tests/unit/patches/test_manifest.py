from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import PatchError
from qupath_her2.patches.manifest import (
    PatchManifest,
    manifest_hash,
    read_manifest,
    write_manifest,
)
from tests.unit.patches.conftest import random_manifest

COLUMNS = ("image", "box_xywh", "label", "overlap", "region_uuid", "split")


def same(a: PatchManifest, b: PatchManifest) -> bool:
    rest = [f.name for f in dataclasses.fields(a) if f.name not in (*COLUMNS, "images", "pixel_size_um")]
    columns = all(np.array_equal(getattr(a, c), getattr(b, c)) for c in COLUMNS)
    # NaN is unequal to itself, so images are compared by their text.
    return columns and repr(a.images) == repr(b.images) and all(getattr(a, f) == getattr(b, f) for f in rest)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 40))
def test_a_written_manifest_is_read_back(seed: int, n: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("m") / "new" / "patches"
    made = random_manifest(seed, n)
    write_manifest(folder, made)
    back = read_manifest(folder)
    assert same(made, back)
    assert manifest_hash(back) == manifest_hash(made)
    assert back.box_xywh.dtype == np.int32
    assert back.label.dtype == np.int16
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "manifest.npz"]


def test_the_same_manifest_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_manifest(tmp_path / name, random_manifest(1, 9))
    for file in ("manifest.npz", "manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_study_that_was_moved_keeps_its_paths(tmp_path: Path) -> None:
    study = tmp_path / "study"
    made = random_manifest(1, 3)
    images = tuple(
        dataclasses.replace(image, path=study / "slides" / image.path.name) for image in made.images
    )
    write_manifest(study / "her2" / "patches" / "p", dataclasses.replace(made, images=images))
    text = (study / "her2" / "patches" / "p" / "manifest.json").read_text(encoding="utf-8")
    assert '"../../../slides/' in text
    assert "\\\\" not in text
    shutil.move(study, tmp_path / "elsewhere")
    back = read_manifest(tmp_path / "elsewhere" / "her2" / "patches" / "p")
    assert back.images[0].path == tmp_path / "elsewhere" / "slides" / made.images[0].path.name


@pytest.mark.parametrize(
    "change",
    [
        {"class_names": ("0", "low", "HIGH")},
        {"patch_size_px": 255},
        {"pixel_size_um": math.nan},
        {"task": "her2-binary"},
        {"settings": {"seed": 8, "clahe": None}},
    ],
)
def test_the_hash_covers_settings_and_classes(change: dict) -> None:
    made = random_manifest(3, 10)
    assert manifest_hash(dataclasses.replace(made, **change)) != manifest_hash(made)


@pytest.mark.parametrize("column", COLUMNS)
def test_the_hash_covers_every_column(column: str) -> None:
    made = random_manifest(3, 10)
    values = getattr(made, column).copy()
    values[4] = (values[4] + 1) if column != "overlap" else 0.123
    assert manifest_hash(dataclasses.replace(made, **{column: values})) != manifest_hash(made)


def test_the_hash_covers_images_but_not_their_paths() -> None:
    made = random_manifest(3, 10)
    moved = [dataclasses.replace(image, path=Path("/other") / image.path.name) for image in made.images]
    assert manifest_hash(dataclasses.replace(made, images=tuple(moved))) == manifest_hash(made)
    assert manifest_hash(dataclasses.replace(made, dropped={})) == manifest_hash(made)
    renamed = dataclasses.replace(made.images[0], case="another")
    other = dataclasses.replace(made, images=(renamed, *made.images[1:]))
    assert manifest_hash(other) != manifest_hash(made)


def test_missing_patches_are_refused_with_the_command_that_cuts_them(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="qupath-her2 patches"):
        read_manifest(tmp_path)


def test_columns_of_another_manifest_are_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path / "a", random_manifest(1, 5))
    write_manifest(tmp_path / "b", random_manifest(2, 5))
    shutil.copy(tmp_path / "b" / "manifest.npz", tmp_path / "a" / "manifest.npz")
    with pytest.raises(PatchError, match="does not belong"):
        read_manifest(tmp_path / "a")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 2),
        ("images", {}),
        ("images", [{"id": "x"}]),
        ("images", ["x"]),
        ("class_names", [1]),
        ("class_names", ["0"]),
        ("patch_size_px", "256"),
        ("patch_size_px", True),
        ("patch_size_px", 0),
        ("pixel_size_um", -1),
        ("pixel_size_um", "0.5"),
        ("task", None),
        ("settings", []),
        ("columns_sha256", "0"),
    ],
)
def test_a_damaged_description_is_refused(field: str, value: object, tmp_path: Path) -> None:
    write_manifest(tmp_path, random_manifest(1, 5))
    path = tmp_path / "manifest.json"
    raw = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps({**raw, field: value}))
    with pytest.raises(PatchError):
        read_manifest(tmp_path)


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), file=st.sampled_from(["npz", "json"]))
def test_any_damaged_byte_gives_our_error_or_the_same_manifest(
    place: int, byte: int, file: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("d")
    made = random_manifest(1, 5)
    write_manifest(folder, made)
    path = folder / f"manifest.{file}"
    data = bytearray(path.read_bytes())
    data[place % len(data)] = byte
    path.write_bytes(bytes(data))
    try:
        back = read_manifest(folder)
    except PatchError:
        return
    # A changed letter of a name is no damage that can be seen; the columns are covered by their hash.
    assert all(np.array_equal(getattr(back, column), getattr(made, column)) for column in COLUMNS)
