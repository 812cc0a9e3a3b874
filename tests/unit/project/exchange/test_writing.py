"""Atomic replacement of files, and advice in place of OSErrors."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from qupath_her2.errors import OutputError
from qupath_her2.project.exchange import writing
from qupath_her2.project.exchange.writing import output_errors, replace_file


def test_a_file_is_replaced_without_leaving_a_draft(tmp_path: Path) -> None:
    path = tmp_path / "current.json"
    for data in (b"old", b"new"):
        replace_file(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_replacement_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "current.json"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left to write"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "No space left to write 'x.csv'"),
        (errno.EACCES, "the folder is read-only"),
        (errno.EROFS, "the folder is read-only"),
        (errno.ENOTDIR, "there is a file where a folder is needed"),
        (errno.ENAMETOOLONG, "the path is too long"),
        (errno.EIO, f"Cannot write 'x.csv': {os.strerror(errno.EIO)}"),
    ],
)
def test_each_error_says_what_to_do(code: int, message: str) -> None:
    with pytest.raises(OutputError, match=message) as caught, output_errors(Path("x.csv")):
        raise OSError(code, os.strerror(code))
    assert caught.value.errno == code
    assert "--out DIR" in str(caught.value)


def test_the_file_named_by_the_error_is_the_one_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Cannot write '.*deeper.*x'"), output_errors(tmp_path):
        (tmp_path / "deeper" / "x").write_bytes(b"")


def test_an_output_error_passes_unchanged() -> None:
    inner = OutputError(errno.EIO, "as it is")
    with pytest.raises(OutputError) as caught, output_errors(Path("x")):
        raise inner
    assert caught.value is inner
    assert str(caught.value) == "as it is"
