from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.runs import current_run
from qupath_her2.server.job_files import JobFiles
from qupath_her2.server.run_archive import install_run, zip_run


def archived(run_dir: Path) -> io.BytesIO:
    buffer = io.BytesIO()
    zip_run(run_dir, buffer)
    buffer.seek(0)
    return buffer


def test_a_run_arrives_as_it_was_and_counts(
    scored_files: JobFiles, tmp_path: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    assert scored_files.run_dir is not None
    for _ in range(2):
        installed = install_run(archived(scored_files.run_dir), tmp_path / "her2")
        assert tree(installed) == tree(scored_files.run_dir)
        assert current_run(tmp_path / "her2", installed.parent.name) == installed
    assert not list((tmp_path / "her2").rglob("*.tmp"))


def with_image_id(record: bytes) -> bytes:
    """The record of a run of an image whose id leads elsewhere."""
    values = json.loads(record)
    values["image"]["id"] = "../../elsewhere"
    return json.dumps(values).encode()


def changed(buffer: io.BytesIO, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> io.BytesIO:
    """An archive with other entries."""
    other = io.BytesIO()
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            entry = change(name, old.read(name))
            if entry is not None:
                new.writestr(*entry)
    other.seek(0)
    return other


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda name, data: (name, data[:-1] if name.endswith("cells.npz") else data), "changed"),
        (lambda name, data: None if name.endswith("score.json") else (name, data), "missing"),
        (lambda name, data: None if name.endswith("run.json") else (name, data), "no run"),
        (lambda name, data: (name, with_image_id(data) if name.endswith("run.json") else data), "not the id"),
    ],
)
def test_a_damaged_run_is_refused(
    scored_files: JobFiles,
    tmp_path: Path,
    change: Callable[[str, bytes], tuple[str, bytes] | None],
    says: str,
) -> None:
    assert scored_files.run_dir is not None
    with pytest.raises(ExchangeError, match=says):
        install_run(changed(archived(scored_files.run_dir), change), tmp_path / "her2")
    assert not list(tmp_path.rglob("current.json"))


def test_entries_lead_nowhere_else(scored_files: JobFiles, tmp_path: Path) -> None:
    assert scored_files.run_dir is not None
    away = changed(
        archived(scored_files.run_dir), lambda name, data: (f"../../../{name.rpartition('/')[2]}", data)
    )
    installed = install_run(away, tmp_path / "her2")
    assert {path.parent for path in tmp_path.rglob("score.json")} == {installed}


def test_what_is_no_archive_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="damaged"):
        install_run(io.BytesIO(b"no archive"), tmp_path)
