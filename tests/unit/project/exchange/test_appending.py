"""Append-only lines: none joins half a line that a killed process left."""

from __future__ import annotations

import pytest

from qupath_her2.errors import ExchangeError, OutputError
from qupath_her2.project.exchange.appending import append_lines, read_lines


def test_lines_are_appended_and_never_joined(tmp_path):
    path = tmp_path / "new" / "lines.jsonl"
    assert read_lines(path) == []
    append_lines(path, [b"one", b"two"])
    path.write_bytes(path.read_bytes() + b"ha")
    append_lines(path, [b"three"])
    append_lines(path, [b"four"])
    assert path.read_bytes() == b"one\ntwo\nha\nthree\nfour\n"
    assert read_lines(path) == [b"one", b"two", b"ha", b"three", b"four"]


def test_what_cannot_be_read_or_written_is_explained(tmp_path):
    with pytest.raises(ExchangeError, match="cannot be read"):
        read_lines(tmp_path)
    with pytest.raises(OutputError):
        append_lines(tmp_path, [b"one"])
