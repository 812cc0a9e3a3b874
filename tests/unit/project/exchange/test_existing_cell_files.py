"""``regions/<image>.cells.npz``: columns, inconsistencies, and damage."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qupath_her2.errors import RegionFileError
from qupath_her2.project.exchange.existing_cell_files import read_existing_cells


def columns() -> dict[str, NDArray[Any]]:
    """Three cells of 4, 3 and 4 vertices, the second without a nucleus, as Her2ExportCells writes them."""
    return {
        "uuid": np.arange(48, dtype="|u1").reshape(3, 16),
        "cell_xy": np.arange(22, dtype="<f4").reshape(11, 2),
        "cell_offsets": np.array([0, 4, 7, 11], "<i8"),
        "nucleus_xy": np.arange(14, dtype="<f4").reshape(7, 2),
        "nucleus_offsets": np.array([0, 3, 3, 7], "<i8"),
        "cell_class": np.array([1, -1, 0], "<i4"),
        "is_cell": np.array([1, 1, 0], "|u1"),
        "measurements": np.array([[1, np.nan], [2, 3], [4, 5]], "<f4"),
    }


INFO = {
    "format": 1,
    "classes": ["Other", "Tumor: 2+"],
    "measurements": ["DAB: Membrane: Mean", "Nucleus: Area"],
}


def write(path: Path, members: dict[str, NDArray[Any]], info: object = INFO) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, column in members.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, column, version=(1, 0))
            archive.writestr(f"{name}.npy", data.getvalue())
        archive.writestr("info.json", json.dumps(info))
    return path


def test_columns_are_read(tmp_path: Path) -> None:
    cells = read_existing_cells(write(tmp_path / "a.npz", columns()))
    assert len(cells) == 3
    assert cells.class_names == ("Tumor: 2+", None, "Other")
    assert cells.is_cell.tolist() == [True, True, False]
    assert cells.cell_offsets.tolist() == [0, 4, 7, 11]
    assert np.diff(cells.nucleus_offsets).tolist() == [3, 0, 4]


@pytest.mark.parametrize("name", ["DAB: Membrane: Mean", "Membrane: DAB: Mean"])
def test_a_measurement_is_found_in_either_order_of_its_components(tmp_path: Path, name: str) -> None:
    cells = read_existing_cells(write(tmp_path / "a.npz", columns()))
    assert cells.column(name).tolist() == [1, 2, 4]
    with pytest.raises(KeyError, match="DAB: Membrane: Mean, Nucleus: Area"):
        cells.column("Membrane: DAB: Max")


WRONG: list[tuple[str, dict[str, Any], object]] = [
    ("uuid", {"uuid": np.zeros((3, 15), "|u1")}, INFO),
    ("cell_xy", {"cell_xy": np.zeros((11, 2), "<f8")}, INFO),
    ("cell", {"cell_offsets": np.array([0, 4, 3, 11], "<i8")}, INFO),
    ("cell", {"cell_offsets": np.array([0, 4, 7, 12], "<i8")}, INFO),
    ("nucleus", {"nucleus_xy": np.full((7, 2), np.nan, "<f4")}, INFO),
    ("cell_class", {"cell_class": np.array([2, 0, 0], "<i4")}, INFO),
    ("cell_class", {"cell_class": np.array([-2, 0, 0], "<i4")}, INFO),
    ("measurements", {"measurements": np.zeros((3, 3), "<f4")}, INFO),
    ("is_cell", {"is_cell": np.zeros(2, "|u1")}, INFO),
    ("format 2", {}, {**INFO, "format": 2}),
    ("format 'list'", {}, []),
    ("'classes'", {}, {**INFO, "classes": 3}),
]


@pytest.mark.parametrize(("said", "changes", "info"), WRONG)
def test_inconsistent_columns_are_refused(
    tmp_path: Path, said: str, changes: dict[str, Any], info: object
) -> None:
    path = write(tmp_path / "a.npz", {**columns(), **changes}, info)
    with pytest.raises(RegionFileError, match=said) as refused:
        read_existing_cells(path)
    assert "pull --cells" in str(refused.value)


@pytest.mark.parametrize("name", [*columns(), "info"])
def test_a_missing_member_is_named(tmp_path: Path, name: str) -> None:
    whole, part = write(tmp_path / "a.npz", columns()), tmp_path / "b.npz"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(part, "w") as target:
        for member in source.namelist():
            if not member.startswith(f"{name}."):
                target.writestr(member, source.read(member))
    with pytest.raises(RegionFileError, match=name):
        read_existing_cells(part)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_anywhere_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, cut: bool
) -> None:
    path = write(tmp_path_factory.mktemp("damage") / "a.npz", columns())
    data = bytearray(path.read_bytes())
    place = at % len(data)
    path.write_bytes(data[:place] if cut else data[:place] + bytes([byte]) + data[place + 1 :])
    try:
        cells = read_existing_cells(path)
    except RegionFileError:
        return
    # Every column has a checksum, so only unused fields of the archive can have been hit.
    assert cells.cell_offsets.tolist() == [0, 4, 7, 11]
