from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from qupath_her2.batch import read_ahead as ahead
from qupath_her2.batch.read_ahead import read_ahead


def test_the_next_file_is_read_in_the_background_and_given_up_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "next.svs"
    path.write_bytes(bytes(1000))
    monkeypatch.setattr(ahead, "_BLOCK_BYTES", 10)
    with read_ahead(path):
        time.sleep(0.05)
    assert not [one.name for one in threading.enumerate() if one.name.startswith("reading")]


def test_nothing_and_what_cannot_be_read_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (None, tmp_path / "gone", tmp_path):
        with read_ahead(path):
            pass
    monkeypatch.setattr(ahead, "MOST_BYTES", 1)
    (tmp_path / "large").write_bytes(b"123")
    with read_ahead(tmp_path / "large"):
        pass
