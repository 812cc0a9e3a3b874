"""Projects of synthetic HER2 fields, a Python that QuPath can start, and scripts run with that Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import shapely
import tifffile
from PIL import Image

from qupath_her2.project.exchange.runs import current_run
from qupath_her2.synthetic.example_project import write_field
from tests.groovy.conftest import SCRIPTS
from tests.helpers.qupath import QuPath, java_options

HERE = Path(__file__).parent / "scripts"
ROOT = SCRIPTS.parent
SIDE_PX = 320
#: Variable with the folder of the real pictures; of its cores, the pixel size and the side of the window that is used.
REAL_DATA = "QUPATH_HER2_REAL_DATA"
CORE_UM_PX = 0.32
CORE_SIDE_PX = 1400


@dataclass(frozen=True, slots=True)
class Fields:
    """A QuPath, a project of synthetic fields, and a folder for QuPath's preferences."""

    qupath: QuPath
    folder: Path
    private: Path

    @property
    def project(self) -> Path:
        return self.folder / "project.qpproj"

    @property
    def her2(self) -> Path:
        return self.folder / "her2"

    def run(self, script: Path | str, *words: str, python: Path | None = None) -> str:
        """Run a script headless with a Python for it to start; return its exit code and output."""
        path = SCRIPTS / script if isinstance(script, str) else script
        options = {
            "java.util.prefs.userRoot": self.private,
            "qupath_her2.python": python or python_program(self.private),
            "qupath_her2.groovy": SCRIPTS,
        }
        return run_with(self.qupath, path, words, options)

    def on_image(self, script: str, *words: str, image: str = "case01", python: Path | None = None) -> str:
        """Run one of our scripts on an image of the project."""
        return self.run(script, "-p", str(self.project), "-i", image, *words, python=python)


def run_with(qupath: QuPath, script: Path, words: Sequence[str], options: dict[str, object]) -> str:
    """Run a script with Java properties; return its exit code and output."""
    done = subprocess.run(
        [str(qupath.launcher), "script", str(script), *words],
        env={**os.environ, "JAVA_TOOL_OPTIONS": java_options(options)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=900,
        check=False,
    )
    return f"exit {done.returncode}\n{done.stdout}{done.stderr}"


def python_program(folder: Path) -> Path:
    """Return a program that is this Python with this checkout, as an installed one would be.

    Our scripts remove PYTHONPATH from what they start, so the program sets it to a checkout that is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "python"
    return program_of(program, f'PYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"')


def paused_python(folder: Path) -> tuple[Path, Path]:
    """Return such a program that stops in the middle of a run's second image, and the file by which it goes on."""
    real, go_on = python_program(folder), folder / "go on"
    paused = f'HER2_GO_ON="{go_on}" PYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.helpers.paused_python "$@"'
    return program_of(folder / "paused", f'case $1 in -c) exec "{real}" "$@";; esac; {paused}'), go_on


def run_of(fields: Fields, number: int = 1) -> Path:
    """Return the run that counts for the image of this number in the project."""
    (folder,) = (fields.her2 / "results").glob(f"{number}_*")
    run = current_run(fields.her2, folder.name)
    assert run is not None
    return run


def program_of(program: Path, line: str) -> Path:
    """Write a program that runs one line of shell."""
    program.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def closing(said: str) -> dict[str, str]:
    """Return the values of a script's closing line."""
    lines = re.findall(r"^HER2_[A-Z_]+_OK (.*)$", said, re.MULTILINE)
    assert len(lines) == 1, said
    return dict(re.findall(r"(\S+?)=(\S*)", lines[0]))


def make_fields(
    qupath: QuPath, folder: Path, private: Path, scores: Sequence[str] = ("3+",), side_px: int = SIDE_PX
) -> Fields:
    """Draw fields case01, case02 … with these scores, and make a project of them in `folder`."""
    folder.mkdir(parents=True)
    for number, score in enumerate(scores, start=1):
        write_field(folder, f"case{number:02}", score=score, seed=103 + number, side_px=side_px)
    return project_of(qupath, folder, private, 0.5)


def make_cores(qupath: QuPath, folder: Path, private: Path) -> Fields:
    """Make a project in `folder` of a window in the middle of each real core, case01 to case04, with a Tumor region."""
    folder.mkdir(parents=True)
    half = CORE_SIDE_PX // 2
    cores = sorted((Path(os.environ[REAL_DATA]) / "her2_tma_cores").glob("*.jpg"))
    assert cores, f"{REAL_DATA} names no folder with her2_tma_cores/*.jpg"
    for number, path in enumerate(cores, start=1):
        with Image.open(path) as core:
            x, y = core.width // 2, core.height // 2
            window = core.convert("RGB").crop((x - half, y - half, x + half, y + half))
        tifffile.imwrite(
            folder / f"case{number:02}.ome.tif", np.asarray(window), photometric="rgb", tile=(256, 256)
        )
        region = {
            "type": "Feature",
            "id": str(UUID(int=number, version=4)),
            "geometry": shapely.geometry.mapping(shapely.Point(half, half).buffer(0.9 * half)),
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Tumor", "color": [200, 0, 0]},
            },
        }
        content = {"type": "FeatureCollection", "features": [region]}
        (folder / f"case{number:02}.geojson").write_text(json.dumps(content), encoding="utf-8")
    return project_of(qupath, folder, private, CORE_UM_PX)


def project_of(qupath: QuPath, folder: Path, private: Path, pixel_size_um: float) -> Fields:
    """Make a project of the images in `folder`, each with its regions in a GeoJSON file."""
    made = Fields(qupath, folder, private)
    said = made.run(HERE / "make_fields.groovy", "--args", str(folder), "--args", str(pixel_size_um))
    assert f"MADE {len(list(folder.glob('*.ome.tif')))}" in said, said
    return made


def copy_of(made: Fields, folder: Path) -> Fields:
    """Return a copy of a project where QuPath finds its images again."""
    return Fields(made.qupath, shutil.copytree(made.folder, folder / "a study"), folder / "private")
