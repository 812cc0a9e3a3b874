"""The checks of the project: ``python -m tests.check``, and the long ones by ``python -m tests.check --rest``.

The first command is for everyone: ruff, ruff format, mypy, the numpydoc linter, and all tests that need neither a
QuPath nor much time. The second runs what is left: tests marked ``slow`` and those that need a real QuPath. Both begin
by saying which optional parts this machine has, and which are therefore NOT TESTED; other arguments go to pytest.

QuPath tests take minutes per version: where several QuPaths are found, one is tested, `USUAL_QUPATH` or else the last;
``QUPATH_HER2_TEST_QUPATHS=0 python -m tests.check --rest`` tests every version that begins with 0. Commands of their
own: QuPath's window, ``python -m pytest tests/gui``; kill series of any length, ``HER2_KILLS=50 python -m pytest
tests/integration/test_killed.py tests/groovy/test_score_killed.py``; accuracy on drawn fields, ``python -m
tests.quality.report``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers.chromium import missing_browser
from tests.helpers.qupath import find_qupaths, qupaths_to_test
from tests.helpers.slurm_node import missing_part

ROOT = Path(__file__).parents[1]

#: The version tested where several are found and none is named.
USUAL_QUPATH = "0.6"

#: Neither command runs these: quality takes minutes, benchmarks print rates, windows need a virtual screen.
NEVER = "not quality and not benchmark and not window"
USUAL = f"not slow and not qupath and {NEVER}"
REST = f"(slow or qupath) and {NEVER}"

#: A worker may hold a QuPath and a network at once, 4 GB together.
MOST_WORKERS = 4


def choose_qupath() -> None:
    """Name one of several QuPaths for this run, unless somebody named some."""
    versions = [q.version for q in find_qupaths()]
    if versions and not os.environ.get("QUPATH_HER2_TEST_QUPATHS"):
        usual = [version for version in versions if version.startswith(USUAL_QUPATH)]
        os.environ["QUPATH_HER2_TEST_QUPATHS"] = (usual or versions)[-1]


def drop_stale_kernels(package: Path) -> int:
    """Delete compiled kernels that are older than any source; return how many.

    Numba compares a kernel with the file that defines it, not with the files of what it calls: after a pull it may go
    on with code that is gone.
    """
    kernels = [*package.rglob("*.nbi"), *package.rglob("*.nbc")]
    changed = max(path.stat().st_mtime for path in package.rglob("*.py"))
    if not any(path.stat().st_mtime < changed for path in kernels):
        return 0
    for path in kernels:
        path.unlink()
    return len(kernels)


def optional_parts(is_rest: bool) -> list[str]:
    """One line for each part that not every machine has."""
    tested = [q.version for q in qupaths_to_test()]
    others = [q.version for q in find_qupaths() if q.version not in tested]
    qupaths = ", ".join(tested) + (f"; NOT TESTED: {', '.join(others)}" if tested and others else "")
    if not qupaths:
        qupath = "NOT TESTED: none found (PAQUO_QUPATH_DIR)"
    else:
        qupath = (
            f"tested: {qupaths}" if is_rest else f"found: {qupaths}; tested by python -m tests.check --rest"
        )
    gpu = shutil.which("nvidia-smi")
    slurm = missing_part()
    browser = missing_browser()
    has_ray = importlib.util.find_spec("ray") is not None
    data = os.environ.get("QUPATH_HER2_REAL_DATA")
    has_torch = all(importlib.util.find_spec(package) for package in ("torch", "timm", "safetensors"))
    return [
        f"QuPath      {qupath}",
        "QuPath's window  NOT TESTED here: python -m pytest tests/gui",
        f"Networks    {'tested' if has_torch else 'NOT TESTED: pip install qupath-her2[learn]'}",
        f"GPU         {'found' if gpu else 'NOT TESTED: none found'}; scoring by cells does not need one",
        f"Slurm       {'NOT TESTED: ' + slurm if slurm else 'tested by --rest, on a node of its own'}",
        f"Browser     {'NOT TESTED: ' + browser if browser else 'tested by --rest, without a window'}",
        f"Ray         {'tested by --rest' if has_ray else 'NOT TESTED: pip install qupath-her2[ray]'}",
        f"Real cores  {'tested: ' + data if data else 'NOT TESTED: QUPATH_HER2_REAL_DATA is not set'}",
    ]


def pytest_step(marks: str, arguments: list[str], *, coverage: bool) -> list[str]:
    """Return the call of pytest for tests of these marks, with a worker per core."""
    # Files go to workers whole: a QuPath project that a file's tests share is made once. In the order of their
    # names those with a QuPath come first, and the small ones fill what is left of the time.
    number = min(os.cpu_count() or 1, MOST_WORKERS)
    # Workers whose networks each take all cores wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // number)))
    workers = [f"--numprocesses={number}", "--dist=loadfile", "--no-loadscope-reorder"]
    # Only where asked for: it doubles the time.
    measured = ["--cov=qupath_her2", "--cov-report=term:skip-covered"] if coverage else []
    reports = ["--durations=15", *measured]
    return [sys.executable, "-m", "pytest", "-m", marks, *reports, *workers, *arguments]


def main(arguments: list[str]) -> int:
    """Run the checks; the exit code is that of the first that fails, pytest runs in any case."""
    parser = argparse.ArgumentParser(prog="python -m tests.check", description=__doc__.splitlines()[0])
    parser.add_argument("--rest", action="store_true", help="the long tests and those in a real QuPath")
    parser.add_argument(
        "--coverage", action="store_true", help="say which lines were run; takes twice the time"
    )
    known, arguments = parser.parse_known_args(arguments)
    is_rest = known.rest
    choose_qupath()
    if n_dropped := drop_stale_kernels(ROOT / "qupath_her2"):
        print(
            f"Kernels     {n_dropped} compiled before the last change of the source: compiled again",
            flush=True,
        )
    for line in optional_parts(is_rest):
        print(line, flush=True)
    python = sys.executable
    modules = [str(path) for path in sorted((ROOT / "qupath_her2").rglob("*.py"))]
    static = [
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy"],
        [python, "-m", "numpydoc", "lint", *modules],
    ]
    steps = [
        *([] if is_rest else static),
        pytest_step(REST if is_rest else USUAL, arguments, coverage=known.coverage),
    ]
    codes = []
    for step in steps:
        print(f"$ {' '.join(step[1:8])}{' …' if len(step) > 8 else ''}", flush=True)
        codes.append(subprocess.run(step, cwd=ROOT, check=False).returncode)
        if codes[-1] and step is not steps[-1]:
            print(f"FAILED: {' '.join(step[2:4])}", flush=True)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
