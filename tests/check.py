"""Every check of the project in one command: ``python -m tests.check``.

Runs ruff, ruff format, mypy and pytest with coverage, in this order, and ends with pytest's closing line.
First it says which optional parts this machine has and which are therefore NOT TESTED. Extra arguments go to
pytest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers.qupath import find_qupaths

ROOT = Path(__file__).parents[1]


def optional_parts() -> list[str]:
    """One line for each part that not every machine has."""
    qupaths = ", ".join(f"{q.version} ({q.folder})" for q in find_qupaths())
    gpu = shutil.which("nvidia-smi")
    slurm = shutil.which("sbatch")
    data = os.environ.get("QUPATH_HER2_REAL_DATA")
    return [
        f"QuPath      {'tested: ' + qupaths if qupaths else 'NOT TESTED: none found (PAQUO_QUPATH_DIR)'}",
        f"GPU         {'found' if gpu else 'NOT TESTED: none found'}; scoring by cells does not need one",
        f"Slurm       {'found' if slurm else 'NOT TESTED: no sbatch on PATH'}",
        f"Real cores  {'tested: ' + data if data else 'NOT TESTED: QUPATH_HER2_REAL_DATA is not set'}",
    ]


def main(arguments: list[str]) -> int:
    """Run all checks; the exit code is that of the first that fails, pytest runs in any case."""
    for line in optional_parts():
        print(line, flush=True)
    python = sys.executable
    coverage = ["--cov=qupath_her2", "--cov-report=term"]
    steps = [
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy"],
        # Quality takes minutes and benchmarks print rates; both have commands of their own in the README.
        [python, "-m", "pytest", "-m", "not quality and not benchmark", *coverage, *arguments],
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
