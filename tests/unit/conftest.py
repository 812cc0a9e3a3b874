from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small drawn fields with their Tumor regions: an unstained one and a 3+."""
    from qupath_her2.synthetic.example_project import write_field

    folder = tmp_path_factory.mktemp("drawn")
    write_field(folder, "pale", score="0", seed=7, side_px=420, stroma=0.1, out_of_focus=0.0)
    write_field(folder, "strong", score="3+", seed=8, side_px=420, stroma=0.1, out_of_focus=0.0)
    return folder


@pytest.fixture
def project(_drawn_once: Path, tmp_path: Path) -> Path:
    """A fresh folder with ``pale.ome.tif`` and ``strong.ome.tif`` and their regions."""
    return shutil.copytree(_drawn_once, tmp_path / "study")


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """A function: {relative path: content} of all files below a folder."""

    def read(folder: Path) -> dict[str, bytes]:
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    return read
