"""``patches.npz``: round trip, format, invalid tables."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.patch_files import (
    check_patches,
    patches_of_run,
    read_patches,
    write_patches,
)
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.provenance import object_uuids
from qupath_her2.records import NOT_MEASURED, PatchTable

CLASSES = ("HER2 patch 0", "HER2 patch 3+", "HER2 patch artefact")


@pytest.fixture
def patches() -> PatchTable:
    n = 20
    random = np.random.default_rng(3)
    probabilities = random.dirichlet([1.0] * len(CLASSES), n).astype(np.float32)
    codes = probabilities.argmax(axis=1).astype(np.uint8)
    probabilities[4], codes[4] = np.nan, NOT_MEASURED
    boxes = np.array([[256 * (i % 5) - 10, 256 * (i // 5), 256, 200] for i in range(n)], np.int32)
    return PatchTable(
        object_uuids("5a" * 32, n, start=40), boxes, (np.arange(n) % 2).astype(np.int32), probabilities, codes, CLASSES
    )  # fmt: skip


def pack(patches: PatchTable) -> bytes:
    file = io.BytesIO()
    write_patches(file, patches)
    return file.getvalue()


def test_round_trip_of_the_same_bytes(patches: PatchTable, tmp_path: Path) -> None:
    path = tmp_path / "patches.npz"
    path.write_bytes(pack(patches))
    back = read_patches(path, class_names=CLASSES, n_regions=2)
    for field in fields(PatchTable):
        old, new = getattr(patches, field.name), getattr(back, field.name)
        np.testing.assert_array_equal(new, old, err_msg=field.name)
    assert pack(back) == path.read_bytes()
    assert len(back) == 20


def test_format_is_plain_numpy_stored(patches: PatchTable) -> None:
    data = pack(patches)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    with np.load(io.BytesIO(data), allow_pickle=False) as columns:
        assert {name: columns[name].dtype.str for name in columns} == {
            "uuid": "|u1",
            "box_xywh": "<i4",
            "region": "<i4",
            "probabilities": "<f4",
            "patch_class": "|u1",
        }


def test_patches_of_a_run_with_and_without_them(patches: PatchTable, tmp_path: Path) -> None:
    (tmp_path / "patches.npz").write_bytes(pack(patches))
    record = RunRecord("r", "5a" * 32, {"name": "a"}, regions=({}, {}), patches={"classes": list(CLASSES)})
    assert patches_of_run(tmp_path, record) is None
    with_patches = RunRecord.from_json(replace(record, files={"patches.npz": "0" * 64}).to_json())
    found = patches_of_run(tmp_path, with_patches)
    assert found is not None
    assert found.class_names == CLASSES
    # A record of a version that did not know of patches has none.
    old = replace(record, patches={"classes": []}).to_json().replace(b'"patches"', b'"something else"')
    assert RunRecord.from_json(old).patches == {"classes": []}


def put(index: Any, value: Any) -> Callable[[Any], Any]:
    def change(values: Any) -> Any:
        values = values.copy()
        values[index] = value
        return values

    return change


@pytest.mark.parametrize(
    ("name", "change", "word"),
    [
        ("uuid", lambda a: a[:, :15], "uuid has shape"),
        ("uuid", lambda a: np.concatenate([a[:-1], a[:1]]), "UUID of patch 19 occurs twice"),
        ("uuid", put((3, 0), 7), "a UUID without our tag"),
        ("box_xywh", lambda a: a[:-1], "box_xywh has shape"),
        ("box_xywh", put((2, 3), 0), "below 1 px"),
        ("region", put(0, 2), "outside 0..1"),
        ("region", put(0, -1), "outside 0..1"),
        ("probabilities", lambda a: a[:, :2], "probabilities has shape"),
        ("probabilities", put((1, 1), 1.01), "outside 0..1"),
        ("probabilities", put((1, 1), -np.inf), "outside 0..1"),
        ("patch_class", put(0, 3), "patch_class holds 3"),
    ],
)
def test_invalid_tables_are_refused(
    patches: PatchTable, name: str, change: Callable[[Any], Any], word: str
) -> None:
    with pytest.raises(ExchangeError, match=word):
        check_patches(replace(patches, **{name: change(getattr(patches, name))}), n_regions=2)


@pytest.mark.parametrize("name", ["Tumor: 3+", "Negative", "1+", "HER2 patch: 2+", "Positive"])
def test_classes_that_qupath_would_count_as_cells_are_refused(patches: PatchTable, name: str) -> None:
    with pytest.raises(ExchangeError, match="count a patch"):
        check_patches(replace(patches, class_names=(*CLASSES[:2], name)))


@pytest.mark.parametrize(
    "damage", [b"", b"PK", lambda data: data[: len(data) // 2]], ids=["empty", "no zip", "cut"]
)
def test_damaged_files(patches: PatchTable, tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "patches.npz"
    path.write_bytes(damage if isinstance(damage, bytes) else damage(pack(patches)))
    with pytest.raises(ExchangeError, match="is damaged"):
        read_patches(path, class_names=CLASSES)
    path.unlink()
    with pytest.raises(ExchangeError, match="does not exist"):
        read_patches(path, class_names=CLASSES)
