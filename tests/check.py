"""Every check of the project in one command: ``python -m tests.check``.

Runs ruff, ruff format, mypy and pytest with coverage, in this order, and ends with pytest's closing line.
First it says which optional parts this machine has and which are therefore NOT TESTED. Extra arguments go to
pytest. Real QuPaths take minutes each: where several are found, one is tested here, `USUAL_QUPATH` or else the last;
``QUPATH_HER2_TEST_QUPATHS=0 python -m tests.check`` tests every version that begins with 0. QuPath's window
has a command of its own: ``python -m pytest tests/gui``.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers.qupath import find_qupaths, qupaths_to_test

ROOT = Path(__file__).parents[1]


#: The version tested where several are found and none is named.
USUAL_QUPATH = "0.6"

#: Quality takes minutes and benchmarks print rates; both have commands of their own in the README.
CHOSEN = "not quality and not benchmark and not window"

#: A worker may hold a QuPath and a network at once, 4 GB together.
MOST_WORKERS = 4


def choose_qupath() -> None:
    """Name one of several QuPaths for this run, unless somebody named some."""
    versions = [q.version for q in find_qupaths()]
    if versions and not os.environ.get("QUPATH_HER2_TEST_QUPATHS"):
        usual = [version for version in versions if version.startswith(USUAL_QUPATH)]
        os.environ["QUPATH_HER2_TEST_QUPATHS"] = (usual or versions)[-1]


def optional_parts() -> list[str]:
    """One line for each part that not every machine has."""
    tested = [q.version for q in qupaths_to_test()]
    others = [q.version for q in find_qupaths() if q.version not in tested]
    qupaths = ", ".join(tested) + (f"; NOT TESTED: {', '.join(others)}" if tested and others else "")
    gpu = shutil.which("nvidia-smi")
    slurm = shutil.which("sbatch")
    data = os.environ.get("QUPATH_HER2_REAL_DATA")
    has_torch = all(importlib.util.find_spec(package) for package in ("torch", "timm", "safetensors"))
    return [
        f"QuPath      {'tested: ' + qupaths if qupaths else 'NOT TESTED: none found (PAQUO_QUPATH_DIR)'}",
        "QuPath's window  NOT TESTED here: python -m pytest tests/gui",
        f"Networks    {'tested' if has_torch else 'NOT TESTED: pip install qupath-her2[learn]'}",
        f"GPU         {'found' if gpu else 'NOT TESTED: none found'}; scoring by cells does not need one",
        f"Slurm       {'found' if slurm else 'NOT TESTED: no sbatch on PATH'}",
        f"Real cores  {'tested: ' + data if data else 'NOT TESTED: QUPATH_HER2_REAL_DATA is not set'}",
    ]


def main(arguments: list[str]) -> int:
    """Run all checks; the exit code is that of the first that fails, pytest runs in any case."""
    choose_qupath()
    for line in optional_parts():
        print(line, flush=True)
    python = sys.executable
    reports = ["--cov=qupath_her2", "--cov-report=term", "--durations=25"]
    # Files go to workers whole: a QuPath project that a file's tests share is made once. In the order of their
    # names those with a QuPath come first, and the small ones fill what is left of the time.
    number = min(os.cpu_count() or 1, MOST_WORKERS)
    workers = [f"--numprocesses={number}", "--dist=loadfile", "--no-loadscope-reorder"]
    # Workers whose networks each take all cores wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // number)))
    steps = [
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy"],
        [python, "-m", "pytest", "-m", CHOSEN, *reports, *workers, *arguments],
    ]
    codes = []
    for step in steps:
        print(f"$ {' '.join(step[1:])}", flush=True)
        codes.append(subprocess.run(step, cwd=ROOT, check=False).returncode)
        if codes[-1] and step is not steps[-1]:
            print(f"FAILED: {' '.join(step[2:])}", flush=True)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
