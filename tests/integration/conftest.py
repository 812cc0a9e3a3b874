from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from qupath_her2.synthetic.example_project import write_field
from tests.groovy.conftest import SCRIPTS, _compiled, pytest_generate_tests
from tests.helpers.qupath import QuPath, java_options

__all__ = ["_compiled", "pytest_generate_tests"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: One image of each kind that the exporter distinguishes, all from one synthetic field.
KINDS = (
    "plain", "rotated", "turned", "cropped", "pyramid", "shapes", "tma", "cells", "he", "fluorescence", "twice",
    "twice", "untouched",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Study:
    """A QuPath and a project made by it; `private` separates its preferences from the user's."""

    qupath: QuPath
    folder: Path
    private: Path

    @property
    def project(self) -> Path:
        return self.folder / "project.qpproj"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "qupath_her2", *words]

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PAQUO")}
        return {
            **kept,
            "PAQUO_QUPATH_DIR": str(self.qupath.folder),
            "JAVA_TOOL_OPTIONS": java_options({"java.util.prefs.userRoot": self.private}),
            "PYTHONPATH": str(ROOT),
        }

    def her2(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment(),
            capture_output=True,
            encoding="utf-8",
            timeout=900,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def script(self, script: Path, *options: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a script headless on the project."""
        done = self.qupath.run(script, *options, private=self.private)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def look(self, her2: str = "her2") -> list[dict[str, Any]]:
        """What QuPath itself finds in each image."""
        done = self.script(HERE / "look.groovy", "-p", str(self.project), "--args", str(self.folder / her2))
        lines = [line[5:] for line in done.stdout.splitlines() if line.startswith("LOOK ")]
        assert lines, done.stdout + done.stderr
        return [json.loads(line) for line in lines]


def runs_java(process: psutil.Process) -> bool:
    """Whether QuPath runs in this process; false if it has just ended."""
    try:
        return "jvm_child" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def make(qupath: QuPath, folder: Path, images: Path, *words: str) -> Study:
    """Make a project in `folder` as QuPath saves it; see make_project.groovy."""
    study = Study(qupath, folder, folder.parent / "preferences")
    folder.mkdir(parents=True, exist_ok=True)
    options = [word for given in (str(folder), str(images), *words) for word in ("--args", given)]
    done = study.script(HERE / "make_project.groovy", *options)
    assert f"MADE {len(words)}" in done.stdout, done.stdout + done.stderr
    return study


@pytest.fixture(scope="session")
def _every_kind(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Study:
    place = tmp_path_factory.mktemp(f"every-{qupath.version}")
    folder = place / "a stüdy" / "project"
    (folder / "slides").mkdir(parents=True)
    write_field(folder / "slides", "field", score="3+", seed=1)
    # Lossless, so that pixels can be compared exactly.
    drawn = Image.open(folder / "slides" / "field.ome.tif")
    drawn.convert("RGB").save(folder / "slides" / "field.png")
    study = make(qupath, folder, folder / "slides", *(f"{kind}=field.png" for kind in KINDS))
    return Study(study.qupath, study.folder, place / "preferences")


@pytest.fixture
def every_kind(_every_kind: Study, tmp_path: Path) -> Study:
    """A fresh copy of a project with one image of each kind; the image files stay where it was made."""
    folder = shutil.copytree(_every_kind.folder, tmp_path / "a copy" / "project")
    return Study(_every_kind.qupath, folder, tmp_path / "preferences")


@pytest.fixture(scope="session")
def _field(qupath: QuPath, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp(f"field-{qupath.version}") / "study"
    folder.mkdir()
    write_field(folder, "field", score="3+", seed=1)
    return make(qupath, folder, folder, "plain=field.ome.tif", "cells=field.ome.tif")


@pytest.fixture
def field(_field: Study, tmp_path: Path) -> Study:
    """A fresh copy of a project with two small synthetic images, one of them with existing cells."""
    folder = shutil.copytree(_field.folder, tmp_path / "study")
    (folder / "field.geojson").unlink()
    return Study(_field.qupath, folder, tmp_path / "preferences")


def exported(study: Study, *words: str) -> subprocess.CompletedProcess[str]:
    """Run export_regions.groovy over the project."""
    options = [word for given in words for word in ("--args", given)]
    return study.script(SCRIPTS / "export_regions.groovy", "-p", str(study.project), *options)
