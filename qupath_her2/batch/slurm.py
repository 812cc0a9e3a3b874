"""Slurm: a batch as a job array, whose tasks are drivers of shards, and a last job that writes the tables.

The script is kept in ``OUT/slurm`` and can be submitted by hand. Each task runs ``qupath-her2 batch … --shard I/N``.
Some minutes before the time limit Slurm sends it SIGUSR1: it finishes or drops its images, asks Slurm to run the task
again, and goes on there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qupath_her2.batch.stopping import FINISH_S
from qupath_her2.errors import BatchError
from qupath_her2.project.exchange.writing import output_errors, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qupath_her2.batch.job import JobEvent
    from qupath_her2.batch.plan import BatchPlan
    from qupath_her2.batch.stopping import Stop
    from qupath_her2.runs.types import Job

__all__ = ["SlurmExecutor", "array_script", "requeue_task"]

#: Folder of scripts and logs in the output folder.
FOLDER = "slurm"
#: Before the time limit; what runs has `FINISH_S` of these to finish.
_WARN_S = round(FINISH_S + 60)
_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class SlurmExecutor:
    """A job array.

    Attributes
    ----------
    source
        The project, folder or list, as the batch was planned from it.
    tasks
        Tasks of the array.
    workers_per_task
        Images that a task works on at once, and the cores that it asks for.
    memory_gb
        Memory of a task, GB; None leaves it to the cluster.
    options
        More options of ``sbatch``, such as ``--partition=long``.
    waits
        Wait until the array has ended.
    flags
        More flags of ``qupath-her2 batch`` that say which batch it is.
    """

    source: Path
    tasks: int = 1
    workers_per_task: int = 1
    memory_gb: float | None = None
    options: tuple[str, ...] = ()
    waits: bool = False
    flags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the executor."""
        return "slurm"

    @property
    def workers(self) -> int:
        """Images worked on at once when all tasks run."""
        return self.tasks * self.workers_per_task

    def run(
        self,
        plan: BatchPlan,
        jobs: Sequence[Job],
        *,
        listen: Callable[[JobEvent], None],
        stop: Stop | None = None,
    ) -> bool:
        """Submit the array, and the job that writes the tables after it; see `Executor.run`.

        Raises
        ------
        BatchError
            There is no ``sbatch``, or it refuses the job.
        """
        if not jobs:
            return True
        folder = plan.out / FOLDER
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        array, last = folder / "array.sh", folder / "finish.sh"
        replace_file(array, array_script(self, plan.out).encode())
        replace_file(last, finish_script(self, plan.out).encode())
        number = _submit(array)
        after = _submit(last, f"--dependency=afterany:{number}")
        if not self.waits:
            return False
        while _is_queued(number) or _is_queued(after):
            if stop is not None and stop.is_wanted:
                # The tasks drop their images and leave nothing.
                _slurm("scancel", number, after)
                return False
            time.sleep(_POLL_S)
        return True


def array_script(slurm: SlurmExecutor, out: Path) -> str:
    """Return the script of the array.

    Parameters
    ----------
    slurm
        Tasks, cores, memory and options.
    out
        The output folder, absolute and on a drive that all nodes see.

    Returns
    -------
    str
        For ``sbatch``.
    """
    memory = [] if slurm.memory_gb is None else [f"--mem={round(1000 * slurm.memory_gb)}M"]
    # B: the shell alone gets the warning; `exec` makes our program that shell.
    asked = [
        "--job-name=qupath-her2",
        f"--array=0-{slurm.tasks - 1}",
        f"--cpus-per-task={slurm.workers_per_task}",
        *memory,
        f"--signal=B:USR1@{_WARN_S}",
        "--requeue",
        "--open-mode=append",
        f"--output={out / FOLDER}/%A_%a.log",
        *slurm.options,
    ]
    limit = [] if slurm.memory_gb is None else ["--memory-gb", f"{0.9 * slurm.memory_gb:g}"]
    command = _command(slurm, "--workers", str(slurm.workers_per_task), *limit)
    return _script(asked, f'{command} --shard "$((SLURM_ARRAY_TASK_ID + 1))/{slurm.tasks}"')


def finish_script(slurm: SlurmExecutor, out: Path) -> str:
    """Return the script of the job that writes the tables when all tasks have ended."""
    asked = [
        "--job-name=qupath-her2-finish",
        f"--output={out / FOLDER}/finish_%j.log",
        *(option for option in slurm.options if not option.startswith(("--array", "--time", "-a", "-t"))),
    ]
    return _script(asked, _command(slurm, "--finish"))


def _command(slurm: SlurmExecutor, *more: str) -> str:
    words = [sys.executable, "-m", "qupath_her2", "batch", str(slurm.source)]
    return shlex.join([*words, *slurm.flags, *more, "--progress", "off"])


def _script(asked: Sequence[str], command: str) -> str:
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in asked)]
    # One thread for each image: several workers share the cores of the task.
    return "\n".join([*lines, "export OMP_NUM_THREADS=1", f"exec {command}", ""])


def _submit(script: Path, *options: str) -> str:
    # Parsable: the number of the job, and after a semicolon the name of the cluster.
    return _slurm("sbatch", "--parsable", *options, str(script)).strip().partition(";")[0]


def _is_queued(number: str) -> bool:
    # A job that ended minutes ago is unknown, which squeue calls an error.
    done = subprocess.run(
        ["squeue", "--noheader", "--jobs", number], capture_output=True, text=True, check=False
    )
    return bool(done.stdout.strip())


def _slurm(*words: str) -> str:
    """Run a command of Slurm and return what it says."""
    if shutil.which(words[0]) is None:
        raise BatchError(
            f"'{words[0]}' was not found: this machine is no node of a Slurm cluster from which jobs are submitted. "
            "Log in to one that is, or leave --executor slurm out."
        )
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BatchError(f"'{shlex.join(words)}' failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def requeue_task() -> bool:
    """Ask Slurm to run this task again after it has ended; return whether this is a task of Slurm."""
    job, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    if job is None or task is None:
        return False
    _slurm("scontrol", "requeue", f"{job}_{task}")
    return True
