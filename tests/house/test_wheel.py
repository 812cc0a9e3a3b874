"""What a user installs: the wheel, built from the source archive, carries every file that is read at run time."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytest.importorskip(
    "hatchling", reason="NOT TESTED: hatchling, which builds without a network, is not installed"
)


def build(source: Path, kind: str, into: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(into.glob("*.tar.gz" if kind == "sdist" else "*.whl"))


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the wheel."""
    place = tmp_path_factory.mktemp("wheel")
    with tarfile.open(build(ROOT, "sdist", place)) as archive:
        archive.extractall(place, filter="data")
    source = next(p for p in place.iterdir() if p.is_dir())
    with zipfile.ZipFile(build(source, "wheel", place)) as wheel:
        return set(wheel.namelist())


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "report/templates/report.html.j2",
        "cells/data/membrane_net.npz",
        "cells/data/nucleus_trees.npz",
        "models/data/unet.json",
        "models/data/unet.safetensors",
        "models/data/unet-0.5.json",
        "models/data/unet-0.5.safetensors",
        "groovy/create_classes.groovy",
    ],
)
def test_wheel_carries(carried: set[str], name: str) -> None:
    assert f"qupath_her2/{name}" in carried


def test_wheel_carries_every_file_of_the_package_and_no_other(carried: set[str]) -> None:
    ours = {p for p in (ROOT / "qupath_her2").rglob("*") if p.is_file() and p.parent.name != "__pycache__"}
    scripts = {p for p in (ROOT / "groovy").rglob("*") if p.is_file()}
    expected = {p.relative_to(ROOT).as_posix() for p in ours} | {
        f"qupath_her2/{p.relative_to(ROOT).as_posix()}" for p in scripts
    }
    assert {name for name in carried if ".dist-info/" not in name} == expected
