"""``cells.npz``: round trip, format, and every kind of damage."""

from __future__ import annotations

import io
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.cell_files import read_cells, write_cells
from qupath_her2.records import CellTable


def pack(cells: CellTable) -> bytes:
    file = io.BytesIO()
    write_cells(file, cells)
    return file.getvalue()


def unpack(data: bytes, folder: Path, cells: CellTable, **options) -> CellTable:
    path = folder / "cells.npz"
    path.write_bytes(data)
    names = {"measurement_names": cells.measurement_names, "class_names": cells.class_names}
    return read_cells(path, **{**names, **options})


def repack(data: bytes, change) -> bytes:
    """The same archive with its members passed through `change(name, bytes) -> bytes | None`."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            member = change(info.filename, old.read(info))
            if member is not None:
                new.writestr(info.filename, member)
    return out.getvalue()


def as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_round_trip(cells: CellTable, tmp_path: Path) -> None:
    back = unpack(pack(cells), tmp_path, cells, n_regions=1)
    for field in fields(CellTable):
        old, new = getattr(cells, field.name), getattr(back, field.name)
        if isinstance(old, np.ndarray):
            assert new.dtype == old.dtype
            np.testing.assert_array_equal(new, old, err_msg=field.name)
        else:
            assert new == old


def test_empty_table(cells: CellTable, tmp_path: Path) -> None:
    none = CellTable(
        uuid=cells.uuid[:0],
        centroid_xy=cells.centroid_xy[:0],
        cell_xy=cells.cell_xy[:0],
        cell_offsets=np.zeros(1, np.int64),
        nucleus_xy=cells.nucleus_xy[:0],
        nucleus_offsets=np.zeros(1, np.int64),
        region=cells.region[:0],
        measurements=cells.measurements[:0],
        measurement_names=cells.measurement_names,
        cell_class=cells.cell_class[:0],
    )
    assert len(unpack(pack(none), tmp_path, none, n_regions=0)) == 0


def test_the_file_is_plain_numpy_uncompressed_and_reproducible(cells: CellTable) -> None:
    data = pack(cells)
    assert data == pack(cells)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    with np.load(io.BytesIO(data), allow_pickle=False) as columns:
        assert {name: columns[name].dtype.str for name in columns} == {
            "uuid": "|u1",
            "centroid_xy": "<f4",
            "cell_xy": "<f4",
            "cell_offsets": "<i8",
            "nucleus_xy": "<f4",
            "nucleus_offsets": "<i8",
            "region": "<i4",
            "measurements": "<f4",
            "cell_class": "|u1",
        }
        assert all(columns[name].flags.c_contiguous for name in columns)


def test_memory_order_and_byte_order_do_not_matter(cells: CellTable) -> None:
    turned = replace(
        cells,
        measurements=np.asfortranarray(cells.measurements),
        cell_xy=cells.cell_xy.astype(">f4"),
        uuid=cells.uuid[::-1][::-1],
    )
    assert pack(turned) == pack(cells)


BROKEN = {
    "repeated uuid": ({"uuid": lambda a: np.concatenate([a[:-1], a[:1]])}, "UUID of cell"),
    "short uuid": ({"uuid": lambda a: a[:, :15]}, "uuid has shape"),
    "centroid": ({"centroid_xy": lambda a: a[:-1]}, "centroid_xy has shape"),
    "NaN centroid": ({"centroid_xy": lambda a: a * np.nan}, "centroid_xy holds NaN"),
    "NaN outline": ({"cell_xy": lambda a: a * np.inf}, "cell_xy holds NaN"),
    "offsets start": ({"cell_offsets": lambda a: a + 1}, "cell_offsets do not rise"),
    "offsets end": (
        {"nucleus_offsets": lambda a: np.append(a[:-1], a[-1] - 3)},
        "nucleus_offsets do not rise",
    ),
    "offsets fall": ({"cell_offsets": lambda a: np.concatenate([a[:1], a[1:3][::-1], a[3:]])}, "do not rise"),
    "thin outline": ({"cell_offsets": lambda a: np.concatenate([a[:1], [2], a[2:]])}, "fewer than 3"),
    "class": ({"cell_class": lambda a: a * 0 + 4}, "cell_class holds 4"),
    "measurements": ({"measurements": lambda a: a[:, :2]}, "measurements has shape"),
    "region length": ({"region": lambda a: a[:-1]}, "region has shape"),
}


@pytest.mark.parametrize(("changes", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_an_invalid_table_is_neither_written_nor_read(
    changes: dict, message: str, cells: CellTable, tmp_path: Path
) -> None:
    broken = {name: change(getattr(cells, name)) for name, change in changes.items()}
    with pytest.raises(ExchangeError, match=message):
        pack(replace(cells, **broken))
    files = {f"{name}.npy": as_npy(array) for name, array in broken.items()}
    data = repack(pack(cells), lambda name, old: files.get(name, old))
    with pytest.raises(ExchangeError, match=message):
        unpack(data, tmp_path, cells)


def test_region_index_is_checked_against_the_record(cells: CellTable, tmp_path: Path) -> None:
    for n_regions in (0, 1):
        wrong = replace(cells, region=cells.region + 1) if n_regions else cells
        with pytest.raises(ExchangeError, match="region holds an index"):
            unpack(pack(wrong), tmp_path, cells, n_regions=n_regions)


def _lie_about_length(name: str, old: bytes) -> bytes:
    return old.replace(b"'shape': (40, 3)", b"'shape': (99, 3)") if name.startswith("measure") else old


DAMAGED = {
    "missing column": (
        lambda data: repack(data, lambda n, d: None if n == "region.npy" else d),
        "no column 'region'",
    ),
    "wrong dtype": (
        lambda data: repack(data, lambda n, d: as_npy(np.zeros(40)) if n == "region.npy" else d),
        "region' is <f8",
    ),
    "pickle": (
        lambda data: repack(data, lambda n, d: as_npy(np.array([{}])) if n == "region.npy" else d),
        "region' is",
    ),
    "lying header": (lambda data: repack(data, _lie_about_length), "holds 480 bytes"),
    "no header": (
        lambda data: repack(data, lambda n, d: b"rubbish" if n == "uuid.npy" else d),
        "no valid header",
    ),
    "cut short": (lambda data: data[:-200], "damaged"),
    "not a zip": (lambda data: b"not a zip", "damaged"),
    "flipped bit": (lambda data: data[:300] + bytes([data[300] ^ 1]) + data[301:], "damaged"),
    "empty": (lambda data: b"", "damaged"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_file(damage, message: str, cells: CellTable, tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match=message):
        unpack(damage(pack(cells)), tmp_path, cells)


def test_compressed_or_missing_file(cells: CellTable, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "packed.npz", uuid=cells.uuid)
    for name, message in (("packed.npz", "is compressed"), ("none.npz", "does not exist")):
        with pytest.raises(ExchangeError, match=message):
            read_cells(tmp_path / name, measurement_names=(), class_names=())
