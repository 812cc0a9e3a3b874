"""Outcomes of fuzzed cases, and the process that runs them within bounds of time."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from qupath_her2.errors import Her2Error

__all__ = ["SLOW_S", "FuzzReport", "Outcome", "run_cases"]

#: A case that takes longer is slow, which is a failure; one that takes `HANG_S` is ended.
SLOW_S, HANG_S = 10.0, 180.0
#: Seconds between two lines of progress.
PROGRESS_S = 10.0


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    `losses` are sentences on what vanished without a word, `detail` is the message of a refusal or the traceback;
    `kind`, how the case was drawn, is filled in by `run_cases`. `seconds` of 0 means all that the check took.
    """

    verdict: Literal["accepted", "refused", "traceback", "hang"]
    losses: tuple[str, ...] = ()
    detail: str = ""
    kind: str = ""
    seconds: float = 0.0


@dataclass
class FuzzReport:
    """Counts over all cases of a run; `failures` has a sentence for each case that went wrong."""

    name: str
    seed: int
    cases: int = 0
    accepted: int = 0
    refused: int = 0
    tracebacks: int = 0
    slow: int = 0
    losses: int = 0
    slowest_s: float = 0.0
    slowest_case: str = ""
    failures: list[str] = field(default_factory=list)

    def add(self, case: int, outcome: Outcome) -> bool:
        """Count one case, and return whether it went wrong."""
        self.cases += 1
        self.accepted += outcome.verdict == "accepted"
        self.refused += outcome.verdict == "refused"
        self.tracebacks += outcome.verdict == "traceback"
        is_slow = outcome.seconds > SLOW_S
        self.slow += is_slow
        self.losses += bool(outcome.losses)
        if outcome.seconds > self.slowest_s:
            self.slowest_s, self.slowest_case = outcome.seconds, f"{case} ({outcome.kind})"
        wrong = list(outcome.losses)
        if outcome.verdict == "traceback":
            wrong.append(outcome.detail.strip())
        if is_slow:
            wrong.append(f"took {outcome.seconds:.1f} s" + (", ended" if outcome.verdict == "hang" else ""))
        self.failures.extend(f"case {case} ({outcome.kind}): {what}" for what in wrong)
        return bool(wrong)

    def summary(self) -> str:
        """Return the counts in one line."""
        return (
            f"{self.name}, seed {self.seed}: {self.cases} cases, {self.accepted} accepted, {self.refused} refused, "
            f"{self.tracebacks} tracebacks, {self.slow} over {SLOW_S:.0f} s, {self.losses} silent losses; "
            f"slowest {self.slowest_s:.1f} s: case {self.slowest_case}"
        )


#: Writes one drawn case into an empty folder, and returns how it was drawn.
Draw = Callable[[random.Random, Path], str]
#: Runs the case of a folder and returns what became of it. A `Her2Error` that it raises is a refusal, any other
#: exception a traceback.
Check = Callable[[Path], Outcome]


def run_check(check: Check, folder: Path) -> Outcome:
    """Run the case of a folder; `seconds` are those that `check` states, else all that it took."""
    start = time.perf_counter()
    try:
        outcome = check(folder)
    except Her2Error as error:
        outcome = Outcome("refused", detail=str(error))
    except Exception:  # noqa: BLE001 - any exception but our own is the finding that this looks for
        outcome = Outcome("traceback", detail=traceback.format_exc())
    return replace(outcome, seconds=outcome.seconds or time.perf_counter() - start)


def _work(check: Check, pipe: Connection) -> None:
    while True:
        pipe.send(run_check(check, Path(pipe.recv())))


class _Worker:
    """A process that runs one case after the other, and can be ended in the middle of one."""

    def __init__(self, check: Check) -> None:
        # A forked process would inherit the locks of threads of this one.
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(check, other), daemon=True)
        self.process.start()
        other.close()

    def run(self, folder: Path) -> Outcome:
        """Return the outcome of a case; the process may be gone afterwards."""
        self.pipe.send(str(folder))
        try:
            if self.pipe.poll(HANG_S):
                return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return Outcome("traceback", detail=f"the process died with code {self._end()}")
        self._end()
        return Outcome("hang", seconds=HANG_S)

    def _end(self) -> int | None:
        self.process.kill()
        self.process.join()
        return self.process.exitcode

    def close(self) -> None:
        self._end()


def _keep(folder: Path, target: Path) -> None:
    # Opening a pipe without a writer would wait forever.
    def special(parent: str, names: list[str]) -> list[str]:
        paths = [Path(parent, name) for name in names]
        return [path.name for path in paths if path.is_fifo() or path.is_socket()]

    shutil.copytree(folder, target, symlinks=True, ignore=special, dirs_exist_ok=True)


def run_cases(
    name: str,
    draw: Draw,
    check: Check,
    *,
    n: int,
    seed: int,
    keep: Path | None = None,
    is_verbose: bool = False,
) -> FuzzReport:
    """Run cases 0 to `n` - 1 of a seed in a process of their own.

    Parameters
    ----------
    name
        Kind of input.
    draw, check
        Functions of a module, so that the other process finds them.
    n, seed
        Number of cases, and what each is drawn from together with its number.
    keep
        Folder that receives the input of each case that went wrong, in a folder named after its number.
    is_verbose
        Print progress and each failure as it comes.
    """
    report = FuzzReport(name, seed)
    worker = _Worker(check)
    said = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        for case in range(n):
            folder = Path(scratch) / str(case)
            folder.mkdir()
            # A case can be drawn again from its number alone, whatever came before it.
            kind = draw(random.Random(f"{seed} {case}"), folder)
            outcome = replace(worker.run(folder), kind=kind)
            if not worker.process.is_alive():
                worker = _Worker(check)
            if report.add(case, outcome):
                if is_verbose:
                    print(report.failures[-1], flush=True)
                if keep is not None:
                    _keep(folder, keep / f"{name}-{seed}-{case}")
            shutil.rmtree(folder, ignore_errors=True)
            if is_verbose and time.monotonic() - said > PROGRESS_S:
                said = time.monotonic()
                print(report.summary(), flush=True)
    worker.close()
    return report
