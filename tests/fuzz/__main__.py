"""Long runs of the fuzzers; the exit code is 1 if any case went wrong."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import tests.fuzz
from tests.fuzz.report import FuzzReport

#: Each is a module of this package with ``run(n, seed, keep, is_verbose=...) -> FuzzReport``.
KINDS = ("geojson", "images", "settings", "cases")


def main(arguments: list[str]) -> int:
    """Run one fuzzer and print its report."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=tests.fuzz.__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--n", type=int, default=1000, help="number of cases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the inputs that went wrong")
    known = parser.parse_args(arguments)
    module = importlib.import_module(f"tests.fuzz.{known.kind}")
    report: FuzzReport = module.run(known.n, known.seed, known.keep, is_verbose=True)
    print(report.summary())
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
