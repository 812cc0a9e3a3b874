"""Columns in npz files: round trip, byte order, and duplicate UUIDs."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.npz_columns import (
    decode_column,
    first_duplicate,
    read_columns,
    write_columns,
)

COLUMNS = {"a": ("<f4", 2), "b": ("<i8", 1)}


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def test_columns_are_converted_and_read_back_in_native_order(tmp_path: Path) -> None:
    table = SimpleNamespace(a=np.arange(6, dtype=">f8").reshape(2, 3, order="F"), b=[1, 2], c="ignored")
    path = tmp_path / "table.npz"
    with path.open("wb") as file:
        write_columns(file, table, COLUMNS)
    found = read_columns(path, COLUMNS)
    assert {name: column.dtype.name for name, column in found.items()} == {"a": "float32", "b": "int64"}
    assert np.array_equal(found["a"], table.a)
    assert found["b"].tolist() == [1, 2]
    with pytest.raises(ExchangeError, match=r"table\.npz' has no column 'c'"):
        read_columns(path, {"c": ("<i8", 1)})


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        (npy(np.zeros(3, "<f8")), "is <f8 with 1 axes; format 1 has <f4 with 1"),
        (npy(np.zeros(3, ">f4")), "is >f4"),
        (npy(np.zeros((3, 1), "<f4")), "with 2 axes"),
        (npy(np.zeros(3, "<f4"), (2, 0)), "has no valid header"),
        (npy(np.zeros(3, "<f4"))[:-1], r"holds 11 bytes, not shape \(3,\)"),
        (b"", "has no valid header"),
    ],
)
def test_other_arrays_are_refused(member: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        decode_column(member, "<f4", 1)


def test_fortran_order_is_refused() -> None:
    with pytest.raises(ValueError, match="in C order"):
        decode_column(npy(np.zeros((2, 3), "<f4", order="F")), "<f4", 2)


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(0, 6), st.just(16)), elements=st.integers(0, 1), fill=st.just(0)
    )
)
def test_first_duplicate_is_a_row_that_occurs_before(uuid: np.ndarray) -> None:
    found = first_duplicate(uuid)
    rows = [row.tobytes() for row in uuid]
    if found is None:
        assert len(set(rows)) == len(rows)
    else:
        assert rows[found] in rows[:found]
